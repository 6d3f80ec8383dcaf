// SPDX-License-Identifier: MIT
// The only place where an error of ours becomes an errno.
#pragma once

#include "core/error.h"

namespace vmemfs {

/// A positive errno, as fuse_reply_err() takes it.
[[nodiscard]] int errno_of(ErrorKind kind);

} // namespace vmemfs
