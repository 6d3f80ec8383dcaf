// SPDX-License-Identifier: MIT
#include "drivers/qemu/layout/layout_sources.h"

#include "drivers/qemu_protocol/mtree.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// Smaller blocks of plain RAM without a memory backend are a device's scratch memory.
constexpr std::uint64_t kSmallestMainMemory = std::uint64_t{1} << 20U;

bool is_memory(MtreeType type) {
  switch (type) {
  case MtreeType::ram:
  case MtreeType::rom:
  case MtreeType::romd:
  case MtreeType::nv_ram: return true;
  case MtreeType::ramd: // memory of a real device: reading may have side effects
  case MtreeType::io: return false;
  }
  return false;
}

/// Decides from the monitor's answers which blocks of plain RAM are main memory.
class MainMemory {
public:
  /// No `backends`: they are unknown.
  MainMemory(std::optional<std::vector<std::string>> backends, std::vector<GpaRange> bars)
      : backends_{std::move(backends)}, bars_{std::move(bars)} {}

  /// Memory behind a BAR belongs to a device even if it has a backend (ivshmem). QEMU before 5.0 does not
  /// list the backend of its main memory, but that always begins at 0 on the machines that it had then.
  [[nodiscard]] bool is_main(const MtreeRange& range) const {
    const bool behind_bar = std::ranges::any_of(bars_, [&](const GpaRange& bar) {
      return bar.begin <= range.range.begin && range.range.end <= bar.end;
    });
    return !behind_bar &&
           (range.type == MtreeType::nv_ram || range.range.begin == Gpa{0} || has_backend(range));
  }

private:
  [[nodiscard]] bool has_backend(const MtreeRange& range) const {
    return backends_ ? std::ranges::find(*backends_, range.name) != backends_->end()
                     : range.range.size() >= kSmallestMainMemory;
  }

  std::optional<std::vector<std::string>> backends_;
  std::vector<GpaRange> bars_;
};

RegionKind kind_of(const MtreeRange& range, const std::map<std::string, bool, std::less<>>& main_by_name) {
  if (range.type == MtreeType::rom || range.type == MtreeType::romd) {
    return RegionKind::rom;
  }
  return main_by_name.at(range.name) ? RegionKind::ram : RegionKind::device;
}

/// Machines whose RAM is all small and not at 0, as that of a microcontroller, have main memory too.
void ensure_main_memory(GuestLayout& layout) {
  if (std::ranges::find(layout.ranges, RegionKind::ram, &LayoutRange::kind) != layout.ranges.end()) {
    return;
  }
  for (LayoutRange& range : layout.ranges) {
    if (range.kind == RegionKind::device && range.writable) {
      range.kind = RegionKind::ram;
    }
  }
}

/// QEMU prefixes the name of a device's block with the device's PCI address: "0000:00:02.0/vga.vram".
bool belongs_to_pci_device(std::string_view block_id) {
  return block_id.size() > 12 && block_id[4] == ':' && block_id[7] == ':' && block_id[10] == '.';
}

/// The answer to an optional command: nullopt if QEMU refused it, for which `refused` then has `lost`.
template <typename T>
Result<std::optional<T>> optional_answer(Result<T> answer, const MonitorSession& session,
                                         std::string_view command, std::string_view lost,
                                         std::vector<ProbeResult>& refused) {
  if (answer) {
    return std::optional<T>{std::move(*answer)};
  }
  if (!session.refused(answer.error())) {
    return tl::unexpected{std::move(answer.error())};
  }
  refused.push_back({std::string{command}, false, fmt::format("{}; {}", answer.error().text, lost)});
  return std::optional<T>{};
}

/// The layout that the text of `info mtree -f` describes.
Result<MonitorLayout> layout_of(const std::string& mtree, MonitorSession& session) {
  auto parsed = parse_mtree(mtree);
  if (!parsed) {
    return tl::unexpected{parsed.error()};
  }
  std::erase_if(*parsed, [](const MtreeRange& range) { return !is_memory(range.type); });

  MonitorLayout result;
  auto backends = optional_answer(
      session.memory_backend_ids(), session, "query-memdev",
      "RAM counts as main memory if it has 1 MiB or more and lies behind no PCI BAR", result.refused);
  if (!backends) {
    return tl::unexpected{backends.error()};
  }
  if (*backends && (*backends)->empty()) { // the machine's RAM has none, such as that of sh4's r2d
    backends->reset();
  }
  auto bars =
      optional_answer(session.pci_bars(), session, "query-pci",
                      "RAM behind a PCI BAR, if there is PCI, may count as main memory", result.refused);
  if (!bars) {
    return tl::unexpected{bars.error()};
  }
  std::vector<Gpa> starts;
  std::ranges::transform(*parsed, std::back_inserter(starts),
                         [](const MtreeRange& r) { return r.range.begin; });
  const auto hvas = session.gpa2hva(starts);
  if (!hvas) {
    return tl::unexpected{hvas.error()};
  }

  const MainMemory main_memory{std::move(*backends), std::move(*bars).value_or(std::vector<GpaRange>{})};
  std::map<std::string, bool, std::less<>> main_by_name; // the same for all ranges of a block
  for (const MtreeRange& range : *parsed) {
    const bool is_main = main_memory.is_main(range);
    const auto [entry, added] = main_by_name.emplace(range.name, is_main);
    entry->second = entry->second || is_main;
  }

  GuestLayout& layout = result.layout;
  for (std::size_t i = 0; i < parsed->size(); ++i) {
    const MtreeRange& range = (*parsed)[i];
    if (!(*hvas)[i]) {
      return fail(ErrorKind::busy, "qemu",
                  fmt::format("the memory layout changed while it was read (at {:#x}); try again",
                              range.range.begin.value()));
    }
    const bool writable = range.type == MtreeType::ram || range.type == MtreeType::nv_ram;
    layout.ranges.push_back(
        {range.range, kind_of(range, main_by_name), writable, range.name, range.offset, *(*hvas)[i]});
  }
  ensure_main_memory(layout);
  normalize(layout);
  return result;
}

} // namespace

bool agree(const MonitorLayout& by_monitor, const GuestLayout& by_view) {
  if (by_monitor.refused.empty()) {
    return same_memory(by_monitor.layout, by_view);
  }
  const auto without_kinds = [](GuestLayout layout) {
    for (LayoutRange& range : layout.ranges) {
      range.kind = RegionKind::ram;
    }
    normalize(layout);
    return layout;
  };
  return same_memory(without_kinds(by_monitor.layout), without_kinds(by_view));
}

Result<MonitorLayout> layout_from_monitor(MonitorSession& session) {
  // The monitor answers one query at a time, so the result is consistent only if the view is the same at the
  // end.
  constexpr int kTries = 5; // firmware moves its windows many times a second
  for (int i = 0; i < kTries; ++i) {
    const auto before = session.mtree();
    if (!before) {
      return tl::unexpected{before.error()};
    }
    auto layout = layout_of(*before, session);
    const auto after = session.mtree();
    if (after && *after == *before) {
      return layout;
    }
  }
  return fail(ErrorKind::busy, "qemu", "the memory layout kept changing while it was read; try again");
}

Result<GuestLayout> layout_from_flat_view(const FlatViewReader& reader) {
  const auto view = reader.read();
  if (!view) {
    return tl::unexpected{view.error()};
  }
  std::map<Hva, std::uint64_t> shown_of_block; // bytes, by the block's base address
  for (const FlatRangeInfo& range : view->ranges) {
    shown_of_block[range.hva - range.offset] += range.range.size();
  }
  GuestLayout layout;
  layout.stamp = view->stamp;
  for (const FlatRangeInfo& range : view->ranges) {
    if (range.device) {
      continue;
    }
    const bool is_main = !belongs_to_pci_device(range.block_id) &&
                         shown_of_block[range.hva - range.offset] >= kSmallestMainMemory;
    const RegionKind kind = range.rom ? RegionKind::rom : is_main ? RegionKind::ram : RegionKind::device;
    layout.ranges.push_back({range.range, kind, range.writable, range.name, range.offset, range.hva});
  }
  ensure_main_memory(layout);
  normalize(layout);
  return layout;
}

} // namespace vmemfs::qemu
