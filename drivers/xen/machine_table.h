// SPDX-License-Identifier: MIT
// The hypervisor's table from machine frames to guest frames: tells where each page of a PV domain belongs
// without the guest's help.
#pragma once

#include "core/error.h"
#include "drivers/xen/foreign_memory.h"
#include "drivers/xen/handles.h"

#include <cstdint>
#include <memory>

namespace vmemfs::xen {

/// Mapped read-only as long as it lives; it is the hypervisor's own memory, of no domain. 2 MiB for each GiB
/// of the host. Thread-safe.
class MachineTable {
public:
  /// One for all who want it at a time.
  static Result<std::shared_ptr<const MachineTable>> shared(xc_interface* control);

  /// `bytes` are mapped.
  MachineTable(const Frame* table, std::uint64_t frames, std::size_t bytes)
      : table_{table}, frames_{frames}, bytes_{bytes} {}
  MachineTable(const MachineTable&) = delete;
  MachineTable& operator=(const MachineTable&) = delete;
  ~MachineTable();

  [[nodiscard]] std::uint64_t frames() const { return frames_; } ///< machine frames below this are in it
  /// The guest frame that the owner of a machine frame knows it by. What it says of a frame that is nobody's,
  /// or another domain's, means nothing: that is found when it is mapped.
  [[nodiscard]] std::uint64_t guest_frame(Frame machine_frame) const {
    return machine_frame < frames_ ? *static_cast<const volatile Frame*>(table_ + machine_frame) : ~Frame{0};
  }

private:
  const Frame* table_;
  std::uint64_t frames_;
  std::size_t bytes_;
};

} // namespace vmemfs::xen
