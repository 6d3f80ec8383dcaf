// SPDX-License-Identifier: MIT
// Layout of guest physical memory and its host addresses in QEMU: one form for all sources.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "drivers/qemu/command_line.h"
#include "drivers/qemu/flat_view.h"
#include "drivers/qemu/monitor.h"
#include "host/hva.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::qemu {

struct LayoutRange {
  GpaRange range;
  RegionKind kind = RegionKind::ram;
  bool writable = false;
  std::string name;         ///< of the memory region, as `info mtree -f` has it; not trusted
  std::uint64_t offset = 0; ///< of range.begin in the memory region, in bytes
  Hva hva = 0;              ///< of range.begin in QEMU

  /// Identifies the block: blocks of the same name differ in their address.
  [[nodiscard]] Hva block_base() const { return hva - offset; }

  friend bool operator==(const LayoutRange&, const LayoutRange&) = default;
};

struct Layout {
  std::vector<LayoutRange> ranges; ///< sorted, no overlap; adjacent ranges of one kind and block are merged
  std::optional<std::uint64_t> stamp; ///< FlatViewReader::stamp(), if the layout was read from the flat view
};

/// Reads `info mtree -f`, gpa2hva, query-pci and query-memdev, in one session.
[[nodiscard]] Result<Layout> layout_from_monitor(MonitorSession& session);

/// From QEMU's own flat view, without a monitor.
[[nodiscard]] Result<Layout> layout_from_flat_view(const FlatViewReader& reader);

/// Guesses from the machine type and memory size on the command line, so it may be wrong.
[[nodiscard]] Result<Layout> layout_by_guess(const QemuCommandLine& command_line, pid_t pid);

/// True if both have the same memory at the same addresses.
[[nodiscard]] bool same_memory(const Layout& a, const Layout& b);

[[nodiscard]] Result<MemoryMap> to_memory_map(const Layout& layout);

/// The range of QEMU's memory that each block occupies, hidden parts included, so that the same blocks give
/// the same ranges whatever the guest has mapped at the moment.
[[nodiscard]] std::vector<HvaRange> block_extents(const Layout& layout);

} // namespace vmemfs::qemu
