// SPDX-License-Identifier: MIT
// The hypervisor's table from machine frames to guest frames: it gives the place of each page of a PV domain
// without the guest's help.
#pragma once

#include "core/error.h"
#include "drivers/xen/handles.h"
#include "drivers/xen/memory/foreign_memory.h"

#include <cstdint>
#include <memory>

namespace vmemfs::xen {

/// Mapped read-only while it exists; the memory belongs to the hypervisor, not to a domain. 2 MiB for each
/// GiB of the host. Thread-safe.
class MachineTable {
public:
  static Result<std::shared_ptr<const MachineTable>> map(xc_interface* control);

  /// `bytes` are mapped.
  MachineTable(const Frame* table, std::uint64_t frames, std::size_t bytes)
      : table_{table}, frames_{frames}, bytes_{bytes} {}
  MachineTable(const MachineTable&) = delete;
  MachineTable& operator=(const MachineTable&) = delete;
  ~MachineTable();

  [[nodiscard]] std::uint64_t frames() const {
    return frames_;
  } ///< the table has the machine frames below this number
  /// The guest frame number that the owner uses for a machine frame. Meaningless for a free frame and for one
  /// of another domain: mapping it shows that.
  [[nodiscard]] std::uint64_t guest_frame(Frame machine_frame) const {
    return machine_frame < frames_ ? *static_cast<const volatile Frame*>(table_ + machine_frame) : ~Frame{0};
  }

private:
  const Frame* table_;
  std::uint64_t frames_;
  std::size_t bytes_;
};

} // namespace vmemfs::xen
