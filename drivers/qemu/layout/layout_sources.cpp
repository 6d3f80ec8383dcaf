// SPDX-License-Identifier: MIT
#include "drivers/qemu/layout/layout_sources.h"

#include "drivers/qemu/layout/region_kinds.h"
#include "drivers/qemu_protocol/mtree.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

namespace vmemfs::qemu {
namespace {

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

/// What decides about the kinds of ranges. Without an answer all RAM counts as having no backend, or as lying
/// behind no BAR.
struct KindQueries {
  std::vector<std::string> backends;
  std::vector<GpaRange> bars;

  /// The region of some backends of old machine types is named by the object's path.
  [[nodiscard]] bool has_backend(const MtreeRange& range) const {
    constexpr std::string_view kObjects = "/objects/";
    std::string_view id = range.name;
    id.remove_prefix(id.starts_with(kObjects) ? kObjects.size() : 0);
    return std::ranges::find(backends, id) != backends.end();
  }
  [[nodiscard]] bool is_behind_bar(const MtreeRange& range) const {
    return std::ranges::any_of(bars, [&](const GpaRange& bar) {
      return bar.begin <= range.range.begin && range.range.end <= bar.end;
    });
  }
};

Result<KindQueries> query_kinds(MonitorSession& session, std::vector<ProbeResult>& refused) {
  auto backends = optional_answer(
      session.memory_backend_ids(), session, "query-memdev",
      "RAM counts as main memory if it has 1 MiB or more and lies behind no PCI BAR", refused);
  if (!backends) {
    return tl::unexpected{backends.error()};
  }
  auto bars = optional_answer(session.pci_bars(), session, "query-pci",
                              "RAM behind a PCI BAR, if there is PCI, may count as main memory", refused);
  if (!bars) {
    return tl::unexpected{bars.error()};
  }
  return KindQueries{std::move(*backends).value_or(std::vector<std::string>{}),
                     std::move(*bars).value_or(std::vector<GpaRange>{})};
}

/// The layout that the text of `info mtree -f` describes.
Result<MonitorLayout> layout_of(const std::string& mtree, MonitorSession& session) {
  auto parsed = parse_mtree(mtree);
  if (!parsed) {
    return tl::unexpected{parsed.error()};
  }
  std::erase_if(*parsed, [](const MtreeRange& range) { return !is_memory(range.type); });

  MonitorLayout result;
  const auto kinds = query_kinds(session, result.refused);
  if (!kinds) {
    return tl::unexpected{kinds.error()};
  }
  std::vector<Gpa> starts;
  std::ranges::transform(*parsed, std::back_inserter(starts),
                         [](const MtreeRange& r) { return r.range.begin; });
  const auto hvas = session.gpa2hva(starts);
  if (!hvas) {
    return tl::unexpected{hvas.error()};
  }
  std::vector<FoundRange> found;
  for (std::size_t i = 0; i < parsed->size(); ++i) {
    const MtreeRange& range = (*parsed)[i];
    if (!(*hvas)[i]) {
      return fail(ErrorKind::busy, "qemu",
                  fmt::format("the memory layout changed while it was read (at {:#x}); try again",
                              range.range.begin.value()));
    }
    const bool writable = range.type == MtreeType::ram || range.type == MtreeType::nv_ram;
    found.push_back({{range.range, RegionKind::ram, writable, range.name, range.offset, *(*hvas)[i]},
                     range.type == MtreeType::rom || range.type == MtreeType::romd,
                     range.type == MtreeType::nv_ram,
                     kinds->has_backend(range),
                     kinds->is_behind_bar(range)});
  }
  result.layout = with_kinds(std::move(found));
  return result;
}

} // namespace

std::string difference(const MonitorLayout& by_monitor, const GuestLayout& by_view) {
  if (by_monitor.refused.empty()) {
    return describe_difference(by_monitor.layout, by_view);
  }
  const auto without_kinds = [](GuestLayout layout) {
    for (LayoutRange& range : layout.ranges) {
      range.kind = RegionKind::ram;
    }
    normalize(layout);
    return layout;
  };
  return describe_difference(without_kinds(by_monitor.layout), without_kinds(by_view));
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

Result<MonitorPlugs> plugs_from_monitor(MonitorSession& session) {
  const auto devices = session.virtio_mem_devices();
  if (!devices && !session.refused(devices.error())) {
    return tl::unexpected{devices.error()};
  }
  MonitorPlugs plugs;
  if (!devices) { // a QEMU without the command has no virtio-mem
    plugs.unknown = devices.error().kind != ErrorKind::unsupported;
    return plugs;
  }
  for (const VirtioMemDevice& device : *devices) {
    if (device.plugged_bytes == 0) {
      plugs.unplugged.push_back(device.range);
    } else if (device.plugged_bytes < device.range.size()) {
      plugs.unknown = true;
    }
  }
  std::ranges::sort(plugs.unplugged, {}, &GpaRange::begin);
  const auto overlap = std::ranges::adjacent_find(
      plugs.unplugged, [](const GpaRange& a, const GpaRange& b) { return a.end > b.begin; });
  if (overlap != plugs.unplugged.end()) {
    return MonitorPlugs{{}, true};
  }
  return plugs;
}

GuestLayout ViewLayout::plugged() const {
  GuestLayout layout = whole;
  cut_out(layout, unplugged);
  return layout;
}

Result<ViewLayout> layout_from_flat_view(const FlatViewReader& reader) {
  auto view = reader.read();
  if (!view) {
    return tl::unexpected{view.error()};
  }
  std::vector<FoundRange> found;
  for (const FlatRangeInfo& range : view->ranges) {
    if (range.device) {
      continue;
    }
    // The memory of virtio-mem has its device's name too, but lies behind no BAR.
    const bool behind_bar = belongs_to_pci_device(range.block_id) && !range.virtio_mem;
    found.push_back({{range.range, RegionKind::ram, range.writable, range.name, range.offset, range.hva},
                     range.rom,
                     range.nonvolatile,
                     range.backend,
                     behind_bar});
  }
  ViewLayout layout{with_kinds(std::move(found)), std::move(view->unplugged), view->plugs_unknown};
  layout.whole.stamp = view->stamp;
  return layout;
}

} // namespace vmemfs::qemu
