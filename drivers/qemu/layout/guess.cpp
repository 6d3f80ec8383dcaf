// SPDX-License-Identifier: MIT
// Guessed memory layout, by machine type, for a QEMU without a usable monitor and without exported symbols.
#include "drivers/qemu/layout/layout_sources.h"
#include "host/proc_maps.h"

#include <algorithm>
#include <fmt/format.h>

namespace vmemfs::qemu {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kDefaultMemory = 128 * kMiB;

/// Up to `all_low` bytes of RAM lie completely below 4 GiB; of more, `low` bytes do and the rest starts at 4
/// GiB. Measured on QEMU 7.2; source: QEMU's hw/i386/{pc_piix,pc_q35,microvm}.c.
struct Split {
  std::string_view machine;
  std::uint64_t all_low;
  std::uint64_t low;
};
constexpr std::array kSplits{
    Split{"q35", 2815 * kMiB, 2 * kGiB},
    Split{"microvm", 3 * kGiB, 3 * kGiB},
    Split{"pc", 3583 * kMiB, 3 * kGiB},
};

} // namespace

Result<GuestLayout> layout_by_guess(const QemuCommandLine& command_line, const ProcessSpace& space) {
  // Such as "pc", "q35", "pc-i440fx-7.2", "pc-q35-7.2" and "microvm"; if none is given: pc.
  const std::string machine = command_line.machine.empty() ? "pc" : command_line.machine;
  const auto split = std::ranges::find_if(
      kSplits, [&](const Split& known) { return machine.find(known.machine) != std::string::npos; });
  if (split == kSplits.end()) {
    return fail(ErrorKind::unsupported, "qemu",
                fmt::format("cannot guess the memory layout: machine type '{}' is unknown", machine));
  }
  const std::uint64_t size = command_line.memory_bytes != 0 ? command_line.memory_bytes : kDefaultMemory;
  const auto maps = read_maps(space);
  if (!maps) {
    return tl::unexpected{maps.error()};
  }
  const auto ram = std::ranges::find_if(
      *maps, [&](const Vma& vma) { return vma.readable && vma.writable && vma.range.size() == size; });
  if (ram == maps->end()) {
    return fail(
        ErrorKind::not_found, "qemu",
        fmt::format("cannot guess the memory layout: QEMU does not have exactly one mapping of {} bytes",
                    size));
  }
  const std::uint64_t low = size <= split->all_low ? size : split->low;
  GuestLayout layout;
  layout.ranges.push_back({{Gpa{0}, Gpa{low}}, RegionKind::ram, true, "guessed.ram", 0, ram->range.begin});
  if (low < size) {
    layout.ranges.push_back({{Gpa{4 * kGiB}, Gpa{4 * kGiB + size - low}},
                             RegionKind::ram,
                             true,
                             "guessed.ram",
                             low,
                             ram->range.begin + low});
  }
  return layout;
}

} // namespace vmemfs::qemu
