// SPDX-License-Identifier: MIT
// The mapping from errors to errno values; the only one.
#pragma once

#include "core/error.h"

namespace vmemfs {

/// A positive errno, as fuse_reply_err() takes it.
[[nodiscard]] int errno_of(ErrorKind kind);

} // namespace vmemfs
