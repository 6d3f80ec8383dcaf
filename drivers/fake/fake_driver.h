// SPDX-License-Identifier: MIT
// A guest made of patterns: for tests, benchmarks and for trying the filesystem without a hypervisor.
//
// Every 8-byte word of memory is a function of its address, so that any reader can check any byte, until
// somebody writes there.
#pragma once

#include "driver/driver.h"
#include "driver/kit/listener_slot.h"
#include "util/mutex.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

enum class FakePattern : unsigned char {
  address, ///< words are fake_word(gpa)
  zero,    ///< all zeros, and handed out without touching them: the fastest guest there can be
};

struct FakeOptions {
  std::string name = "fake";
  std::string key{};                             ///< of VmIdentity
  std::uint64_t size = std::uint64_t{64} << 20U; ///< RAM is [0, size) less holes and roms
  std::uint32_t vcpus = 1;
  std::vector<GpaRange> holes;
  std::vector<GpaRange> roms;
  std::vector<GpaRange> bad; ///< in the map, but every read there fails with bad_page
  FakePattern pattern = FakePattern::address;
  bool events_of_own_commands =
      true; ///< pause() and resume() are events too, as QMP has them on a kept connection
  std::string resume_ticket = {}; ///< none: this guest ends with its process
};

/// The aligned 8-byte word (little endian) at `gpa` under FakePattern::address.
[[nodiscard]] constexpr std::uint64_t fake_word(Gpa gpa) {
  return (gpa.value() >> 3U) * 0x9e3779b97f4a7c15U ^ 0x766d656d66735f31U;
}

class FakeDriver : public Driver, DirectMemory, MemoryWriter, RegisterReader, RegisterWriter, RunControl {
public:
  static Result<std::unique_ptr<FakeDriver>> create(FakeOptions options);

  // Driver
  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override EXCLUDES(mutex_);
  std::shared_ptr<const MemoryMap> memory_map() const override EXCLUDES(mutex_);
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  bool gone() const override { return gone_; }
  AccessReport access() const override;
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  DirectMemory* direct_memory() override { return options_.pattern == FakePattern::zero ? this : nullptr; }
  MemoryWriter* memory_writer() override { return options_.pattern == FakePattern::address ? this : nullptr; }
  /// Its events come with what they tell of.
  std::optional<std::chrono::milliseconds> state_delay() const override {
    return std::chrono::milliseconds{0};
  }
  RegisterReader* register_reader() override { return this; }
  RegisterWriter* register_writer() override { return this; }
  RunControl* run_control() override { return this; }

  // What a test does to the guest.
  void die();                                      ///< the VM ends
  void change_layout(std::vector<GpaRange> holes); ///< takes effect at once, as a hotplug does
  void set_vcpus(const VcpuSet& vcpus);            ///< those that are new have the values of the start
  void set_running(bool running);                  ///< somebody else's pause or resume
  void reset();                                    ///< the guest is reset: all that was written is gone
  /// The guest writes to its memory; false, and nothing is written, while it is paused.
  bool guest_writes(Gpa gpa, std::span<const std::byte> bytes);
  void set_bad(std::vector<GpaRange> bad);              ///< which pages are refused from now on
  [[nodiscard]] std::vector<std::string> calls() const; ///< names of the calls so far, reads left out

private:
  FakeDriver(FakeOptions options, std::shared_ptr<const MemoryMap> map);

  std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) override;
  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  [[nodiscard]] bool usually_has(RegisterIndex reg) const override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  std::string resume_ticket() const override { return options_.resume_ticket; }

  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  void change_state(bool running, bool notify) EXCLUDES(mutex_);
  void read_piece(const MemoryMap& map, ReadPiece& piece) const REQUIRES_SHARED(memory_mutex_);
  void lay_over(Gpa gpa, std::span<std::byte> target) const REQUIRES_SHARED(memory_mutex_);
  void store(Gpa gpa, std::span<const std::byte> bytes) REQUIRES(memory_mutex_);
  Result<void> check_vcpu(VcpuId vcpu) const REQUIRES(mutex_);
  void log_call(std::string_view call) EXCLUDES(mutex_);

  const FakeOptions options_;
  const VmIdentity identity_;
  std::atomic<bool> gone_{false};
  mutable Mutex mutex_ ACQUIRED_BEFORE(memory_mutex_);
  std::shared_ptr<const MemoryMap> map_ GUARDED_BY(mutex_);
  VcpuSet vcpus_ GUARDED_BY(mutex_);
  std::map<VcpuId, RegisterSet> registers_ GUARDED_BY(mutex_); ///< of each of them
  bool running_ GUARDED_BY(mutex_) = true;
  std::vector<std::string> calls_ GUARDED_BY(mutex_);
  SharedMutex memory_mutex_; ///< reads of many threads run at once
  /// Pages that differ from the pattern.
  std::map<Gfn, std::array<std::byte, kPageSize>> written_ GUARDED_BY(memory_mutex_);
  std::vector<GpaRange> bad_ GUARDED_BY(memory_mutex_);
  ListenerSlot listener_; ///< its lock is taken after mutex_ where both are held
};

} // namespace vmemfs
