// SPDX-License-Identifier: MIT
// An io_uring that carries one command of FUSE at a time.
#pragma once

#include "core/error.h"
#include "fs/fuse/ring/ring_format.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <sys/uio.h>

struct io_uring;

namespace vmemfs {

/// Used by one thread at a time. The command belongs to the thread that submits it: the kernel completes it
/// there, and interrupts what that thread waits for.
class Ring {
public:
  /// Allows commands to drivers of the kernel only, so that it is of no other use. Needs the system calls
  /// io_uring_setup and io_uring_register, and later io_uring_enter only. unsupported: the kernel or its
  /// settings (kernel.io_uring_disabled) do not have it.
  [[nodiscard]] static Result<Ring> create();

  struct Command {
    int device;
    RingOperation operation;
    std::uint16_t queue;
    std::uint64_t commit_id;           ///< of answer_and_fetch
    const std::array<iovec, 2>* entry; ///< of add_entry: header and payload; read until it has ended
  };
  /// Submits the command and waits until it has ended. 0: there is a request; else a negative errno, and
  /// ECANCELED if `stopping` was true after a signal: the command has not ended then.
  [[nodiscard]] int run(const Command& command, const std::atomic<bool>& stopping);

private:
  struct Exit {
    void operator()(io_uring* ring) const;
  };
  std::unique_ptr<io_uring, Exit> ring_;
};

} // namespace vmemfs
