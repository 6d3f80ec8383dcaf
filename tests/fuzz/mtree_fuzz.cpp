// SPDX-License-Identifier: MIT
// QEMU's answer to `info mtree -f`.
#include "drivers/qemu_protocol/mtree.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const auto ranges = vmemfs::parse_mtree(text);
  for (std::size_t i = 0; ranges && i < ranges->size(); ++i) {
    vmemfs::fuzz::expect(!(*ranges)[i].range.empty(), "no range is empty");
    vmemfs::fuzz::expect(i == 0 || (*ranges)[i - 1].range.end <= (*ranges)[i].range.begin,
                         "ranges are sorted");
  }
}
