// SPDX-License-Identifier: MIT
// An attached VM as a guest: memory and registers of its driver, with counters.
#pragma once

#include "vm/cache/kernel_cache.h"
#include "vm/guest.h"
#include "vm/linux/linux_guest.h"
#include "vm/memory/live_memory.h"
#include "vm/views/block_services.h"
#include "vm/views/made_images.h"
#include "vm/views/shown_texts.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

namespace vmemfs {

/// Thread-safe. Reads do not wait for operations on the VM; writes are serialized with them.
class LiveGuest final : public Guest {
public:
  /// References outlive this object, and are part of the owner of the jobs.
  /// `kernel_budget` may be null.
  LiveGuest(const LiveMemory::Context& context, std::shared_ptr<KernelBudget> kernel_budget);

  [[nodiscard]] const std::string& name() const override { return context_.events.vm(); }
  [[nodiscard]] const VmIdentity& identity() const override { return context_.driver.identity(); }
  [[nodiscard]] VcpuSet vcpus() const override { return context_.driver.vcpus(); }
  /// They may have changed: has a job compare them with those that were reported last, and report the
  /// difference, at most once in kBetweenVcpuReports. Returns at once.
  void vcpus_changed();
  [[nodiscard]] AccessReport access() const override { return context_.driver.access(); }
  [[nodiscard]] std::vector<ProbeResult> probe() const override { return context_.driver.probe(); }
  [[nodiscard]] bool gone() const override { return context_.attachment.gone(); }
  [[nodiscard]] bool frozen() const override { return context_.driver.frozen(); }
  [[nodiscard]] std::optional<std::uint64_t> stable_epoch() override {
    const Epoch::Value epoch = context_.cache.poll_epoch();
    return epoch.stable ? std::optional{epoch.number} : std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> page_cache_epoch() override { return kernel_cache_.epoch(); }
  [[nodiscard]] KernelCacheUse kernel_cache_use() override { return kernel_cache_.use(); }
  /// The same with the reason.
  [[nodiscard]] KernelCache::State kernel_cache_state() { return kernel_cache_.state(); }
  [[nodiscard]] std::chrono::system_clock::time_point last_change() const override {
    return context_.run_state.last_change();
  }
  [[nodiscard]] LiveMemory& memory() override { return memory_; }
  [[nodiscard]] const RegisterLayout* register_layout() const override;
  /// Those that a vCPU's set usually has, as 0; nullopt if they cannot be read. Waits for nobody.
  [[nodiscard]] std::optional<RegisterSet> usual_registers() const;
  [[nodiscard]] Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  [[nodiscard]] Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  [[nodiscard]] LinuxGuest* linux_guest() override { return &linux_guest_; }
  [[nodiscard]] MadeImages* made_images() override { return &made_images_; }
  void report_refusal(const Error& error) override {
    static_cast<void>(context_.events.noted<void>(tl::unexpected{error}));
  }
  [[nodiscard]] VmCounters& counters() override { return counters_; }
  [[nodiscard]] ShownTexts& shown_texts() { return shown_texts_; }
  [[nodiscard]] BlockServices& block_services() { return block_services_; }

private:
  using Clock = std::chrono::steady_clock;
  /// A guest that plugs and unplugs all the time must not fill the event log.
  static constexpr std::chrono::seconds kBetweenVcpuReports{1};

  void report_vcpus();
  [[nodiscard]] Result<std::vector<RegisterSet>> try_read_registers(std::span<const VcpuId> vcpus);

  const LiveMemory::Context context_;
  VmCounters counters_;
  ShownTexts shown_texts_;
  MadeImages made_images_;
  BlockServices block_services_;
  LiveMemory memory_;
  KernelCache kernel_cache_;
  std::atomic<bool> vcpu_report_pending_{false};
  VcpuSet reported_vcpus_;             ///< of the jobs, which run one at a time
  Clock::time_point next_vcpu_report_; ///< the same
  LinuxGuest linux_guest_;
};

} // namespace vmemfs
