// SPDX-License-Identifier: MIT
// The answer to one request of an open file, given exactly once.
//
// Abstract, so that files know nothing of FUSE: fs/fuse/fuse_reply.h answers the kernel, the tests record.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/uio.h>

namespace vmemfs {

/// Not thread-safe. A reply that is destroyed without an answer becomes EIO, so that no caller hangs because
/// of a forgotten branch.
class Reply {
public:
  Reply() = default;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  virtual ~Reply() = default;

  /// Without effect if the answer was given before, because an exception may come after it.
  virtual void error(ErrorKind kind) = 0;
  virtual void data(std::span<const iovec> bytes) = 0;
  virtual void text(std::string_view bytes) = 0;
  virtual void offset(std::uint64_t offset) = 0;
  virtual void poll(unsigned events) = 0; ///< as poll(2)'s revents
};

/// Wakes those who poll a file.
class PollHandle {
public:
  PollHandle() = default;
  PollHandle(const PollHandle&) = delete;
  PollHandle& operator=(const PollHandle&) = delete;
  virtual ~PollHandle() = default;

  /// The file can do more than it could; once.
  virtual void notify() = 0;
};

} // namespace vmemfs
