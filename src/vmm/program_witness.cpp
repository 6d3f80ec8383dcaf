// SPDX-License-Identifier: MIT
#include "vmm/program_witness.h"

#include "vmm/thread_list.h"

#include <array>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace vmemfs {
namespace {

/// The file refers to the thread as long as it is open, even if its number is reused. Every kernel has it,
/// and reading it takes no lock of the process.
bool exists(const UniqueFd& witness) {
  std::array<char, 16> ignored;
  return witness && ::pread(witness.get(), ignored.data(), ignored.size(), 0) > 0;
}

} // namespace

bool ProgramWitness::seems_current() {
  if (exists(witness_)) {
    return true;
  }
  // First the witness, then the program: if that is the same, so was the one whose thread was found.
  witness_ = find_witness();
  return space_->seems_current();
}

UniqueFd ProgramWitness::find_witness() const {
  constexpr std::size_t kFirstTwo = 2;
  const pid_t pid = space_->pid();
  for (const pid_t thread : ThreadList{pid}.read(kFirstTwo)) {
    if (thread != pid) {
      return UniqueFd{
          ::open(fmt::format("/proc/{}/task/{}/oom_score_adj", pid, thread).c_str(), O_RDONLY | O_CLOEXEC)};
    }
  }
  return {};
}

} // namespace vmemfs
