// SPDX-License-Identifier: MIT
#include "fs/errno_map.h"

#include <cerrno>

namespace vmemfs {

int errno_of(ErrorKind kind) {
  switch (kind) {
  case ErrorKind::not_found: return ENOENT;
  case ErrorKind::vm_gone:
  case ErrorKind::vcpu_gone: return ENODEV;
  case ErrorKind::hole:
  case ErrorKind::bad_page:
  case ErrorKind::source_failed: return EIO;
  case ErrorKind::past_end: return ENXIO;
  case ErrorKind::no_data: return ENODATA;
  case ErrorKind::unsupported: return EOPNOTSUPP;
  case ErrorKind::read_only: return EROFS;
  case ErrorKind::not_permitted: return EPERM;
  case ErrorKind::permission: return EACCES;
  case ErrorKind::busy: return EBUSY;
  case ErrorKind::timed_out: return ETIMEDOUT;
  case ErrorKind::interrupted: return EINTR;
  case ErrorKind::invalid: return EINVAL;
  case ErrorKind::no_memory: return ENOMEM;
  }
  return EIO;
}

} // namespace vmemfs
