// A guest made of patterns: for tests, benchmarks and for trying the filesystem without a hypervisor.
//
// Every 8-byte word of memory is a function of its address, so that any reader can check any byte.
#pragma once

#include "driver/driver.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace vmemfs {

enum class FakePattern : unsigned char {
  address, ///< words are fake_word(gpa)
  zero,    ///< all zeros, and handed out without touching them: the fastest guest there can be
};

struct FakeOptions {
  std::string name = "fake";
  std::uint64_t size = std::uint64_t{64} << 20U; ///< RAM is [0, size) less holes and roms
  std::uint32_t vcpus = 1;
  std::vector<GpaRange> holes;
  std::vector<GpaRange> roms;
  std::vector<GpaRange> bad; ///< in the map, but every read there fails with bad_page
  FakePattern pattern = FakePattern::address;
};

/// The aligned 8-byte word (little endian) at `gpa` under FakePattern::address.
[[nodiscard]] constexpr std::uint64_t fake_word(Gpa gpa) {
  return (gpa.value() >> 3U) * 0x9e3779b97f4a7c15U ^ 0x766d656d66735f31U;
}

class FakeDriver : public Driver, DirectMemory, RegisterReader, RegisterWriter, RunControl {
public:
  static Result<std::unique_ptr<FakeDriver>> create(FakeOptions options);

  // Driver
  const VmIdentity& identity() const override { return identity_; }
  std::uint32_t vcpu_count() const override { return options_.vcpus; }
  std::shared_ptr<const MemoryMap> memory_map() const override;
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  bool gone() const override { return gone_; }
  AccessReport access() const override;
  void set_listener(VmListener* listener) override;
  DirectMemory* direct_memory() override { return options_.pattern == FakePattern::zero ? this : nullptr; }
  RegisterReader* register_reader() override { return this; }
  RegisterWriter* register_writer() override { return this; }
  RunControl* run_control() override { return this; }

  // What a test does to the guest.
  void die();                                           ///< the VM ends
  void change_layout(std::vector<GpaRange> holes);      ///< takes effect at once, as a hotplug does
  void set_running(bool running);                       ///< somebody else's pause or resume
  [[nodiscard]] std::vector<std::string> calls() const; ///< names of the calls so far, reads left out

private:
  explicit FakeDriver(FakeOptions options);

  std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) override;
  Result<RegisterSet> read_registers(VcpuId vcpu) override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<void> pause() override;
  Result<void> resume() override;

  void read_piece(const MemoryMap& map, ReadPiece& piece) const;
  Result<void> check_vcpu(VcpuId vcpu) const;
  void log_call(std::string_view call);
  void emit(VmEvent event);

  const FakeOptions options_;
  const VmIdentity identity_;
  std::atomic<bool> gone_{false};
  mutable std::mutex mutex_; ///< guards all below
  std::shared_ptr<const MemoryMap> map_;
  std::vector<RegisterSet> registers_;
  bool running_ = true;
  std::vector<std::string> calls_;
  std::mutex listener_mutex_; ///< held while the listener is called
  VmListener* listener_ = nullptr;
};

} // namespace vmemfs
