// SPDX-License-Identifier: MIT
// Gate for writes to a VM: refuses all of them unless writes are on.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "driver/driver.h"
#include "vm/state/attachment.h"
#include "vm/state/coherence.h"
#include "vm/state/run_state_tracker.h"
#include "vm/vm_events.h"

#include <atomic>
#include <cstddef>
#include <span>

namespace vmemfs {

/// Thread-safe. Writes are serialized with each other and with changes of the run state.
class WriteGate {
public:
  /// References outlive this object.
  struct Context {
    Driver& driver;
    const Attachment& attachment;
    Coherence& coherence;
    RunStateTracker& run_state;
    VmEvents& events;
  };
  WriteGate(const Context& context, bool writable) : context_{context}, writable_{writable} {}

  [[nodiscard]] bool writable() const { return writable_; }
  /// read_only, which last_error has then, too: writes are off.
  [[nodiscard]] Result<void> check_on() const;
  /// unsupported: the driver can write neither memory nor registers. Once writes are off, none is in
  /// progress.
  [[nodiscard]] Result<void> set_writable(bool on);
  /// Whether set_writable(true) succeeds.
  [[nodiscard]] bool available() const;

  /// Writes guest memory, if writes are on and the whole range is writable; else nothing is written.
  /// Returns the number of bytes written, from the start: fewer than all if the driver failed midway.
  [[nodiscard]] Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Sets registers of a vCPU, if writes are on. See RegisterWriter.
  [[nodiscard]] Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values);

private:
  [[nodiscard]] Result<std::size_t> write_memory(MemoryWriter& writer, Gpa gpa,
                                                 std::span<const std::byte> bytes);
  [[nodiscard]] Result<void> check_writable(GpaRange range) const;

  const Context context_;
  std::atomic<bool> writable_;
};

} // namespace vmemfs
