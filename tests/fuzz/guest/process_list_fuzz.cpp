// SPDX-License-Identifier: MIT
// The processes of a made kernel whose memory is changed, also while it is read: see patched_memory.h.
#include "fuzz/fuzz_target.h"
#include "fuzz/guest/patched_memory.h"
#include "linux/made_kernel.h"
#include "linux/tasks/process_list.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

FUZZ_TARGET(text) {
  using vmemfs::MadeKernel;
  using vmemfs::fuzz::expect;
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "kthreadd");
  kernel.add(3, "worker");
  const std::array<std::uint64_t, 4> pages{MadeKernel::kInit, MadeKernel::task(0), MadeKernel::task(1),
                                           MadeKernel::task(2)};
  const vmemfs::fuzz::PatchedMemory changes{kernel.memory, pages, text};
  const std::string list = kernel.text(vmemfs::process_list);
  constexpr std::size_t kMaxReads = 1U << 16U;
  expect(changes.reads() <= kMaxReads, "what is read is bounded");
  if (list.starts_with("error: ")) { // as without an idle task
    return;
  }
  expect(vmemfs::fuzz::is_text(list), "lines are whole and printable");
  expect(list.find("# complete: ") != std::string::npos || list.find("# incomplete: ") != std::string::npos,
         "it says whether it is complete");
}
