// SPDX-License-Identifier: MIT
// The address space of the program that a process of this host runs.
//
// A process that executes another program keeps its pid, so what is read by pid may be that program's, such
// as the secrets of a set-uid one. A descriptor of /proc/PID/mem or /proc/PID/pagemap refers to the address
// space that the process had when it was opened. Whatever has to be read by pid is proved by check_current()
// before it is used.
#pragma once

#include "core/error.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

namespace vmemfs {

/// Thread-safe. Holds two descriptors, and a reference to the process.
class ProcessSpace {
public:
  /// The address space that the process has now. vm_gone: the process has ended, or executed a program
  /// meanwhile. permission: the text names the remedy. unsupported: the program has more rights than the user
  /// who started it, so that its memory is not that user's.
  static Result<std::shared_ptr<const ProcessSpace>> open(std::shared_ptr<const Process> process);

  ProcessSpace(const ProcessSpace&) = delete;
  ProcessSpace& operator=(const ProcessSpace&) = delete;
  ~ProcessSpace() = default;

  [[nodiscard]] const Process& process() const { return *process_; }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  /// False once the process has ended, or its address space, or once another program was noticed. Two system
  /// calls, no allocation; waits for nothing. Without it a process that shares the address space, as one that
  /// was made by vfork() does, hides that the program was replaced: see check_current().
  [[nodiscard]] bool alive() const;

  /// Proves that the process still runs the program: what was read by pid before the call is of this address
  /// space. vm_gone: it does not, and alive() is false from now on. Other errors: it could not be found out.
  /// Some ten microseconds, no allocation on success; may wait as long as a read of the memory does.
  [[nodiscard]] Result<void> check_current() const;

  /// Less than check_current(), but waits for nothing: notices any other program that the kernel places at
  /// random addresses. False if so, and alive() is false from now on.
  [[nodiscard]] bool seems_current() const;

  /// Descriptor of the memory, to be read and, if the kernel allows that, written at its addresses; 0 bytes:
  /// the address space is gone. permission: the text names the remedy.
  [[nodiscard]] Result<int> memory() const;

  /// Descriptor of the page table; see pagemap.h.
  [[nodiscard]] int pagemap() const { return pagemap_.get(); }

  /// The error of an access to a process that has ended or runs another program.
  [[nodiscard]] tl::unexpected<Error> gone() const;

private:
  explicit ProcessSpace(std::shared_ptr<const Process> process);

  Result<void> open_files();
  Result<void> check_rights() const;
  [[nodiscard]] Result<bool> same_vector() const;
  [[nodiscard]] Result<bool> same_random() const;

  const std::shared_ptr<const Process> process_;
  const std::string vector_path_;
  const std::string memory_path_;
  UniqueFd memory_;
  std::optional<Error> no_memory_; ///< why memory_ is not open
  UniqueFd pagemap_;
  std::string vector_;       ///< the auxiliary vector, which the kernel has made for this program
  std::uint64_t random_ = 0; ///< address of 16 random bytes that the kernel has made for this program
  std::string addresses_;    ///< see seems_current(); empty: not visible
  mutable std::atomic<bool> left_{false}; ///< another program was noticed
};

} // namespace vmemfs
