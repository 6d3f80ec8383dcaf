// SPDX-License-Identifier: MIT
// The address space of the program that a process of this host runs.
//
// A process that executes another program keeps its pid, so what is read by pid may be that program's, such
// as the secrets of a set-uid one. What was read by pid is therefore used only after a proof that the process
// still runs the program: it cannot return to a program that it has left. The proof is the auxiliary vector,
// which the kernel keeps for each program, and which of a set-uid program says so. It costs some
// microseconds. If nobody but root and the user who mounted reads the VM, memory has a cheaper one: the 16
// random bytes of the vector (AT_RANDOM, getauxval(3)), read by the same call, because process_vm_readv(2)
// takes the address space once. They lie on the stack, as do the arguments of a program, which are chosen by
// the user who executes it: with some thousand tries they could be forged.
//
// Guest memory is not read through a descriptor of /proc/PID/mem, although that refers to one address space:
// such a read cannot be ended by a signal while it waits for a page, does not wait for a userfaultfd, and is
// slower from 64 KiB on.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <sys/uio.h>

namespace vmemfs {

/// The users who may read what is read of a process; decides how it is proved, see above.
enum class ProcessReaders : unsigned char {
  mounter, ///< root and the user who mounted
  others,  ///< other users too
};

/// Thread-safe. Holds two descriptors, and a reference to the process.
class ProcessSpace {
public:
  /// The address space that the process has now. vm_gone: the process has ended, or executed a program
  /// meanwhile. permission: the text names the remedy. unsupported: the program has more rights than the user
  /// who started it, so that its memory is not that user's.
  static Result<std::shared_ptr<const ProcessSpace>> open(std::shared_ptr<const Process> process,
                                                          ProcessReaders readers = ProcessReaders::others);

  ProcessSpace(const ProcessSpace&) = delete;
  ProcessSpace& operator=(const ProcessSpace&) = delete;
  ~ProcessSpace() = default;

  [[nodiscard]] const Process& process() const { return *process_; }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  /// False once the process has ended, or once another program was noticed. One system call, no allocation;
  /// waits for nothing. Enough for a file of the VM, which is no other program's.
  [[nodiscard]] bool running() const { return !left_ && process_->alive(); }

  /// False also once the address space has gone. Two system calls, no allocation; waits for nothing. Without
  /// it a process that shares the address space, as one that was made by vfork() does, hides that the program
  /// was replaced: see check_current().
  [[nodiscard]] bool alive() const;

  /// Proves that the process still runs the program: what was read by pid before the call is of this address
  /// space. vm_gone: it does not, and alive() is false from now on. Other errors: it could not be found out.
  /// Some five microseconds, no allocation on success; may wait as long as a read of the memory does.
  [[nodiscard]] Result<void> check_current() const;

  /// Less than check_current(), but waits for nothing: notices any other program that the kernel places at
  /// random addresses. False if so, and alive() is false from now on.
  [[nodiscard]] bool seems_current() const;

  /// Pieces of one read(); the proof takes one more.
  static constexpr std::size_t kMaxPieces = 64;
  using Pieces = std::array<iovec, kMaxPieces + 1>;

  /// Like process_vm_readv with the first `count` pieces: the number of bytes that were read, fewer if a
  /// piece fails in its middle, or -1 with errno. `proved`: all that was read by now is of this address
  /// space; else check_current() has to say so. The entries at `count` are overwritten.
  [[nodiscard]] ssize_t read(Pieces& local, Pieces& remote, std::size_t first, std::size_t count,
                             bool& proved) const;

  /// Descriptor of the memory, to be written at its addresses; 0 bytes: the address space is gone.
  /// permission: the text names the remedy.
  [[nodiscard]] Result<int> memory() const;

  /// Descriptor of the page table; see pagemap.h.
  [[nodiscard]] int pagemap() const { return pagemap_.get(); }

  /// The error of an access to a process that has ended or runs another program.
  [[nodiscard]] tl::unexpected<Error> gone() const;

private:
  ProcessSpace(std::shared_ptr<const Process> process, ProcessReaders readers);

  Result<void> open_files();
  Result<void> check_rights() const;
  [[nodiscard]] Result<bool> same_vector() const;
  [[nodiscard]] Result<bool> same_random() const;

  const std::shared_ptr<const Process> process_;
  const ProcessReaders readers_;
  const std::string vector_path_;
  const std::string memory_path_;
  UniqueFd memory_;
  std::optional<Error> no_memory_; ///< why memory_ is not open
  UniqueFd pagemap_;
  std::string vector_; ///< the auxiliary vector, which the kernel has made for this program
  Hva random_at_ = 0;  ///< of 16 random bytes that the kernel has made for this program
  std::array<std::byte, 16> random_{};
  /// Whether the bytes prove the program: they are readable, and it has not cleared them, as those of Go do.
  mutable std::atomic<bool> random_proves_{false};
  std::string addresses_;                 ///< see seems_current(); empty: not visible
  mutable std::atomic<bool> left_{false}; ///< another program was noticed
};

} // namespace vmemfs
