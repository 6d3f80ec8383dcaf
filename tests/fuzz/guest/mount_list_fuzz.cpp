// SPDX-License-Identifier: MIT
// The mounts of a kernel: a byte that says whether it has them in a list or a tree, and a PatchedKernel.
#include "fuzz/fuzz_target.h"
#include "fuzz/guest/patched_kernel.h"
#include "linux/mounts/mount_list.h"

FUZZ_TARGET(text) {
  using vmemfs::Made;
  const bool is_list = text.starts_with('l');
  vmemfs::fuzz::PatchedKernel kernel{text.substr(text.empty() ? 0 : 1)};
  constexpr std::ptrdiff_t kColumns = 8;
  kernel.check_list(vmemfs::mount_list, is_list ? Made::MountsAre::list : Made::MountsAre::tree, kColumns);
}
