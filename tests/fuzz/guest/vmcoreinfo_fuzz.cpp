// SPDX-License-Identifier: MIT
// A page of a guest's memory that may be the VMCOREINFO of its kernel.
#include "fuzz/fuzz_target.h"
#include "linux/vmcoreinfo.h"

FUZZ_TARGET(text) {
  if (const auto info = vmemfs::parse_vmcoreinfo(text)) {
    vmemfs::fuzz::expect(info->text.size() <= vmemfs::kMaxVmcoreinfo, "no text is longer than a page");
    vmemfs::fuzz::expect(text.starts_with(info->text), "the text is the page's");
    vmemfs::fuzz::expect(info->text.starts_with(vmemfs::kVmcoreinfoBegin), "the text has its begin");
    const auto again = vmemfs::parse_vmcoreinfo(info->text);
    vmemfs::fuzz::expect(again && again->swapper_pg_dir == info->swapper_pg_dir &&
                             again->stext == info->stext && again->phys_base == info->phys_base,
                         "the text alone says the same");
  }
}
