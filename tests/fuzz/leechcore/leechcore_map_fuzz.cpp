// SPDX-License-Identifier: MIT
// LeechCore's text of a memory map, and a user's file with one.
#include "drivers/leechcore/memory/device_map.h"
#include "fuzz/fuzz_target.h"

#include <vector>

namespace {

using vmemfs::leechcore::DeviceRange;

void check(const std::vector<DeviceRange>& ranges) {
  using vmemfs::fuzz::expect;
  vmemfs::Gpa end{0};
  for (const DeviceRange& range : ranges) {
    expect(range.range.begin >= end && !range.range.empty(), "ranges are sorted and do not overlap");
    expect((range.range.begin.value() | range.range.end.value() | range.remap) % vmemfs::kPageSize == 0,
           "ranges consist of whole pages");
    end = range.range.end;
  }
  expect(end.value() <= vmemfs::kGpaLimit, "ranges lie below the limit");
  const auto again = vmemfs::leechcore::parse_device_map(vmemfs::leechcore::to_device_map(ranges));
  expect(again && *again == ranges, "a map reads back unchanged");
  expect(vmemfs::leechcore::to_memory_map(ranges, false, "fuzz").has_value(), "a map of the VM can be made");
}

} // namespace

FUZZ_TARGET(text) {
  if (const auto ranges = vmemfs::leechcore::parse_device_map(text)) {
    check(*ranges);
  }
  if (const auto ranges = vmemfs::leechcore::parse_map_file(text)) {
    check(*ranges);
  }
}
