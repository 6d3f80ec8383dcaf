// SPDX-License-Identifier: MIT
#include "core/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace vmemfs {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::not_found: return "not found";
  case ErrorKind::vm_gone: return "VM gone";
  case ErrorKind::vcpu_gone: return "vCPU gone";
  case ErrorKind::hole: return "hole";
  case ErrorKind::past_end: return "past the end";
  case ErrorKind::no_data: return "no data";
  case ErrorKind::bad_page: return "bad page";
  case ErrorKind::unsupported: return "unsupported";
  case ErrorKind::read_only: return "read-only";
  case ErrorKind::not_permitted: return "not permitted";
  case ErrorKind::permission: return "permission denied";
  case ErrorKind::busy: return "busy";
  case ErrorKind::timed_out: return "timed out";
  case ErrorKind::interrupted: return "interrupted";
  case ErrorKind::invalid: return "invalid";
  case ErrorKind::no_memory: return "out of memory";
  case ErrorKind::source_failed: return "source failed";
  }
  return "unknown";
}

std::string Error::message() const { return origin.empty() ? text : origin + ": " + text; }

tl::unexpected<Error> fail(ErrorKind kind, std::string_view origin, std::string text) {
  return tl::unexpected<Error>{Error{kind, std::string{origin}, std::move(text)}};
}

tl::unexpected<Error> fail_errno(int os_errno, std::string_view origin, std::string what) {
  what += ": ";
  what += std::generic_category().message(os_errno);
  return fail(kind_of_errno(os_errno), origin, std::move(what));
}

ErrorKind kind_of_errno(int os_errno) {
  switch (os_errno) {
  case ENOENT: return ErrorKind::not_found;
  case ESRCH: return ErrorKind::vm_gone;
  case EACCES:
  case EPERM: return ErrorKind::permission;
  case EBUSY: return ErrorKind::busy;
  case ETIMEDOUT:
  case EAGAIN: return ErrorKind::timed_out;
  case EINTR: return ErrorKind::interrupted;
  case EINVAL: return ErrorKind::invalid;
  case ENOMEM: return ErrorKind::no_memory;
  case EROFS: return ErrorKind::read_only;
  case EOPNOTSUPP:
  case ENOSYS: return ErrorKind::unsupported;
  default: return ErrorKind::source_failed;
  }
}

} // namespace vmemfs
