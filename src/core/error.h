// SPDX-License-Identifier: MIT
// Error, the only error type, and Result<T>.
//
// An Error says what kind of failure it is (which decides the errno a reader sees, see
// fs/errno_map.h), who reports it, and in a sentence what was tried and what helps. Hot paths pass
// the bare ErrorKind, which costs nothing; the words then go to the log.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace vmemfs {

enum class ErrorKind : unsigned char {
  not_found,     ///< no such VM, vCPU, file or process
  vm_gone,       ///< the VM has ended; nothing will bring it back
  vcpu_gone,     ///< the VM does not have this vCPU any more; it may be plugged in again
  hole,          ///< no memory at this guest physical address
  past_end,      ///< nothing at or after this offset
  no_data,       ///< the guest has nothing of the kind now, such as a Linux kernel
  bad_page,      ///< the source says that it cannot give this page (ballooned out, poisoned, encrypted)
  unsupported,   ///< this driver or this VM cannot do that
  read_only,     ///< a write to something that takes none
  not_permitted, ///< an operation that is never allowed, whoever asks (truncating guest memory)
  permission,    ///< the host refused for want of rights
  busy,          ///< someone else holds what is needed
  timed_out,     ///< no answer within the time limit
  interrupted,   ///< the caller gave up
  invalid,       ///< malformed input: argument, command, register text
  no_memory,     ///< out of host memory
  source_failed, ///< the source broke: connection lost, bad answer, read error
};

/// Name of the kind, for logs and for `info`.
[[nodiscard]] std::string_view to_string(ErrorKind kind);

struct Error {
  ErrorKind kind;
  std::string origin; ///< who reports it: "qmp", "proc", "params", ...
  std::string text;   ///< a sentence: what was tried, why it failed, what helps

  /// "origin: text", as shown to users.
  [[nodiscard]] std::string message() const;
};

template <typename T> using Result = tl::expected<T, Error>;

/// What a function returning Result<T> returns on failure.
[[nodiscard]] tl::unexpected<Error> fail(ErrorKind kind, std::string_view origin, std::string text);

/// The same for a failed system call: the kind follows from `os_errno`, whose text is appended.
[[nodiscard]] tl::unexpected<Error> fail_errno(int os_errno, std::string_view origin, std::string what);

/// The kind that an errno of a failed system call on the host stands for.
[[nodiscard]] ErrorKind kind_of_errno(int os_errno);

} // namespace vmemfs
