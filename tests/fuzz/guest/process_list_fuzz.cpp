// SPDX-License-Identifier: MIT
// The processes of a made kernel whose memory is changed, also while it is read: see patched_memory.h.
#include "fuzz/fuzz_target.h"
#include "fuzz/guest/patched_memory.h"
#include "linux/made_tasks.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

FUZZ_TARGET(text) {
  using vmemfs::MadeTasks;
  using vmemfs::fuzz::expect;
  MadeTasks kernel;
  kernel.add(1, "init");
  kernel.add(2, "kthreadd");
  kernel.add(3, "worker");
  const std::array<std::uint64_t, 4> pages{MadeTasks::kInit, MadeTasks::task(0), MadeTasks::task(1),
                                           MadeTasks::task(2)};
  const vmemfs::fuzz::PatchedMemory changes{kernel.memory, pages, text};
  const std::string list = kernel.list();
  constexpr std::size_t kMaxReads = 1U << 16U;
  expect(changes.reads() <= kMaxReads, "what is read is bounded");
  if (list.starts_with("error: ")) { // as without an idle task
    return;
  }
  expect(vmemfs::fuzz::is_text(list), "lines are whole and printable");
  expect(list.find("# complete: ") != std::string::npos || list.find("# incomplete: ") != std::string::npos,
         "it says whether it is complete");
}
