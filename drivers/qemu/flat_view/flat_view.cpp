// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/flat_view.h"

#include "drivers/qemu/flat_view/flat_view_capture.h"
#include "drivers/qemu/flat_view/flat_view_resolver.h"
#include "host/proc_maps.h"

#include <chrono>
#include <string_view>
#include <thread>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "flatview";
constexpr int kTries = 8;
constexpr std::chrono::microseconds kBetweenTries{200};

Result<FlatView> read_once(const ProcessSpace& space, const FlatViewLayout& layout) {
  const auto before = capture_view(space, layout);
  if (!before) {
    return tl::unexpected{before.error()};
  }
  auto ranges = resolve_ranges(space, layout, before->ranges);
  if (!ranges) {
    return tl::unexpected{ranges.error()};
  }
  // QEMU frees regions and blocks only after they have left the view, so an equal view means that they still
  // existed when they were read.
  const auto after = capture_view(space, layout);
  if (!after) {
    return tl::unexpected{after.error()};
  }
  const std::uint64_t stamp = stamp_of(*before, layout.block_list_size);
  if (stamp_of(*after, layout.block_list_size) != stamp) {
    return fail(ErrorKind::busy, kOrigin, "cannot read QEMU's memory view: it kept changing; try again");
  }
  return FlatView{std::move(*ranges), stamp};
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
  return reader;
}

Result<std::uint64_t> FlatViewReader::stamp() const {
  const auto captured = retry(*space_, [this] { return capture_view(*space_, layout_); });
  if (!captured) {
    return tl::unexpected{captured.error()};
  }
  return stamp_of(*captured, layout_.block_list_size);
}

Result<FlatView> FlatViewReader::read() const {
  return retry(*space_, [this] { return read_once(*space_, layout_); });
}

} // namespace vmemfs::qemu
