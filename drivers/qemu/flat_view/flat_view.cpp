// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/flat_view.h"

#include "drivers/qemu/flat_view/flat_view_capture.h"
#include "drivers/qemu/flat_view/flat_view_resolver.h"
#include "host/proc_maps.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "flatview";
constexpr int kTries = 8;
constexpr std::chrono::microseconds kBetweenTries{200};

tl::unexpected<Error> kept_changing() {
  return fail(ErrorKind::busy, kOrigin, "cannot read QEMU's memory view: it kept changing; try again");
}

/// Where QEMU has what virtio-mem has plugged. `unknown`: of some devices it is not known.
struct PlugMaps {
  std::vector<PlugMap> maps; ///< of devices whose memory does not overlap; sorted by address
  bool unknown = false;

  [[nodiscard]] std::vector<HvaRange> bitmaps() const {
    std::vector<HvaRange> ranges;
    ranges.reserve(maps.size());
    for (const PlugMap& map : maps) {
      ranges.push_back({map.bitmap, map.bitmap + map.words() * sizeof(std::uint64_t)});
    }
    return ranges;
  }
};

PlugMaps find_plug_maps(const ProcessSpace& space, ResolvedView& view) {
  constexpr int kDeviceTries = 4; // QEMU changes bitmap and size one after the other
  PlugMaps found{{}, view.virtio_mem_left_out};
  std::size_t budget = kMaxPlugMapBytes;
  std::ranges::sort(view.virtio_mem, {}, [](const VirtioMemRegion& device) { return device.range.begin; });
  for (const VirtioMemRegion& device : view.virtio_mem) {
    auto map = find_plug_map(space, device, budget);
    for (int tries = 1; !map && budget > 0 && tries < kDeviceTries; ++tries) {
      std::this_thread::sleep_for(kBetweenTries);
      map = find_plug_map(space, device, budget);
    }
    const bool overlaps = !found.maps.empty() && found.maps.back().range.end > device.range.begin;
    if (map && !overlaps) {
      found.maps.push_back(*map);
    } else {
      found.unknown = true;
    }
  }
  return found;
}

/// Takes `view.unplugged` from the bitmaps' contents.
void take_unplugged(const PlugMaps& found, std::span<const std::uint64_t> plugged, FlatView& view) {
  for (const PlugMap& map : found.maps) {
    view.plugs_unknown =
        !add_unplugged(map, plugged.first(map.words()), view.unplugged) || view.plugs_unknown;
    plugged = plugged.subspan(map.words());
  }
}

Result<FlatView> read_once(const ProcessSpace& space, const FlatViewLayout& layout,
                           std::vector<HvaRange>& bitmaps) {
  const auto before = capture_view(space, layout, {});
  if (!before) {
    return tl::unexpected{before.error()};
  }
  auto resolved = resolve_ranges(space, layout, before->ranges);
  if (!resolved) {
    return tl::unexpected{resolved.error()};
  }
  const PlugMaps found = find_plug_maps(space, *resolved);
  bitmaps = found.bitmaps();
  // QEMU frees regions and blocks only after they have left the view, so an equal view means that they still
  // existed when they were read.
  auto after = capture_view(space, layout, bitmaps);
  if (!after) {
    return tl::unexpected{after.error()};
  }
  FlatView view{std::move(resolved->ranges), {}, found.unknown, stamp_of(*after, layout.block_list_size)};
  const auto plugged = std::exchange(after->plugged, {});
  std::size_t words = 0;
  for (const PlugMap& map : found.maps) {
    words += map.words();
  }
  if (plugged.size() != words ||
      stamp_of(*after, layout.block_list_size) != stamp_of(*before, layout.block_list_size)) {
    return kept_changing();
  }
  take_unplugged(found, plugged, view);
  return view;
}

/// Repeats `attempt` until it succeeds, because QEMU may replace what it reads. Gives up immediately if
/// waiting cannot help.
template <typename Attempt> auto retry(const ProcessSpace& space, Attempt attempt) -> decltype(attempt()) {
  auto result = attempt();
  for (int tries = 1; !result && tries < kTries; ++tries) {
    if (!space.alive()) {
      return space.gone();
    }
    if (result.error().kind == ErrorKind::permission) {
      break;
    }
    std::this_thread::sleep_for(kBetweenTries);
    result = attempt();
  }
  return result;
}

/// Checks that the host addresses of the view are mapped in QEMU: the last check that its structures were
/// understood.
Result<void> check_mapped(const ProcessSpace& space, const FlatView& view) {
  const auto maps = read_maps(space);
  if (!maps) {
    return tl::unexpected{maps.error()};
  }
  for (const FlatRangeInfo& range : view.ranges) {
    const Hva end = range.hva + range.range.size();
    for (Hva at = range.hva; at < end;) {
      const Vma* const vma = find_vma(*maps, at);
      if (vma == nullptr) {
        return implausible("guest memory is not mapped at the address that the view has");
      }
      at = vma->range.end;
    }
  }
  return {};
}

} // namespace

Result<FlatViewReader> FlatViewReader::open(std::shared_ptr<const ProcessSpace> space) {
  auto layout = locate_flat_view(*space);
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  FlatViewReader reader{std::move(space), *layout};
  const auto checked = retry(*reader.space_, [&]() -> Result<void> {
    const auto view = reader.read();
    return view ? check_mapped(*reader.space_, *view) : tl::unexpected{view.error()};
  });
  if (!checked) {
    return tl::unexpected{checked.error()};
  }
  reader.understood_ = true;
  return reader;
}

Result<std::uint64_t> FlatViewReader::stamp() const {
  std::vector<HvaRange> bitmaps;
  {
    const MutexLock lock{plug_maps_->mutex};
    bitmaps = plug_maps_->bitmaps;
  }
  const auto captured = retry(*space_, [&] { return capture_view(*space_, layout_, bitmaps); });
  if (!captured) {
    return tl::unexpected{captured.error()};
  }
  return stamp_of(*captured, layout_.block_list_size);
}

Result<FlatView> FlatViewReader::read() const {
  std::vector<HvaRange> bitmaps;
  auto view = retry(*space_, [&] { return read_once(*space_, layout_, bitmaps); });
  if (!view && understood_ && view.error().kind == ErrorKind::source_failed) {
    return kept_changing(); // freed while it was read, at the last try too
  }
  if (view) {
    const MutexLock lock{plug_maps_->mutex};
    plug_maps_->bitmaps = std::move(bitmaps);
  }
  return view;
}

} // namespace vmemfs::qemu
