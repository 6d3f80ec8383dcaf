// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/machine_table.h"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>

namespace vmemfs::xen {
namespace {

/// Xen maps the table in pieces of 2 MiB.
constexpr std::uint64_t kPiece = std::uint64_t{1} << 21U;

/// The size that xc_map_m2p() maps for a host with this highest frame: it may exclude the entry of that
/// frame.
std::size_t mapped_bytes(std::uint64_t highest) {
  return (highest * sizeof(Frame) + kPiece - 1) & ~(kPiece - 1);
}

} // namespace

MachineTable::~MachineTable() { ::munmap(const_cast<Frame*>(table_), bytes_); }

Result<std::shared_ptr<const MachineTable>> MachineTable::map(xc_interface* control) {
  unsigned long highest = 0;
  if (xc_maximum_ram_page(control, &highest) != 0) {
    return fail_errno(errno, kOrigin, "cannot get the size of this host");
  }
  const Frame* const table = xc_map_m2p(control, highest, PROT_READ, nullptr);
  if (table == nullptr) {
    return fail_errno(errno, kOrigin, "cannot map the table of machine frames");
  }
  const std::size_t bytes = mapped_bytes(highest);
  const std::uint64_t frames = std::min<std::uint64_t>(highest + 1, bytes / sizeof(Frame));
  return std::make_shared<const MachineTable>(table, frames, bytes);
}

} // namespace vmemfs::xen
