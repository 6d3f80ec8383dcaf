// SPDX-License-Identifier: MIT
// The sockets that processes of a PatchedKernel have open.
#include "fuzz/fuzz_target.h"
#include "fuzz/guest/patched_kernel.h"
#include "linux/sockets/socket_list.h"

FUZZ_TARGET(text) {
  vmemfs::fuzz::PatchedKernel kernel{text};
  constexpr std::ptrdiff_t kColumns = 8;
  kernel.check_list(vmemfs::socket_list, vmemfs::Made::MountsAre::tree, kColumns);
}
