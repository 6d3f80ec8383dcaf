// SPDX-License-Identifier: MIT
// An attached VM as a guest: memory and registers of its driver, with counters.
#pragma once

#include "vm/guest.h"
#include "vm/memory/live_memory.h"

#include <optional>

namespace vmemfs {

/// Thread-safe. Reads do not wait for operations on the VM; writes are serialized with them.
class LiveGuest final : public Guest {
public:
  /// References outlive this object, and are part of the owner of the jobs.
  explicit LiveGuest(const LiveMemory::Context& context) : context_{context}, memory_{context, counters_} {}

  [[nodiscard]] const std::string& name() const override { return context_.events.vm(); }
  [[nodiscard]] const VmIdentity& identity() const override { return context_.driver.identity(); }
  [[nodiscard]] std::uint32_t vcpu_count() const override { return context_.driver.vcpu_count(); }
  [[nodiscard]] AccessReport access() const override { return context_.driver.access(); }
  [[nodiscard]] std::vector<ProbeResult> probe() const override { return context_.driver.probe(); }
  [[nodiscard]] bool gone() const override { return context_.attachment.gone(); }
  [[nodiscard]] bool frozen() const override { return context_.driver.frozen(); }
  [[nodiscard]] std::chrono::system_clock::time_point last_change() const override {
    return context_.run_state.last_change();
  }
  [[nodiscard]] LiveMemory& memory() override { return memory_; }
  [[nodiscard]] const RegisterLayout* register_layout() const override;
  /// Those that a vCPU's set usually has, as 0; nullopt if they cannot be read. Waits for nobody.
  [[nodiscard]] std::optional<RegisterSet> usual_registers() const;
  [[nodiscard]] Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  [[nodiscard]] Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  [[nodiscard]] VmCounters& counters() override { return counters_; }

private:
  [[nodiscard]] Result<std::vector<RegisterSet>> try_read_registers(std::span<const VcpuId> vcpus);

  const LiveMemory::Context context_;
  VmCounters counters_;
  LiveMemory memory_;
};

} // namespace vmemfs
