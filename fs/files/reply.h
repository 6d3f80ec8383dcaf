// SPDX-License-Identifier: MIT
// The answer to one request of an open file, given exactly once.
//
// Abstract, so that files know nothing of FUSE: fs/fuse/fuse_reply.h answers the kernel, the tests record.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <sys/uio.h>

namespace vmemfs {

/// Notified when the caller of a request has given up.
class InterruptListener {
public:
  virtual ~InterruptListener() = default;

  /// `reply`: Reply::id() of the request. Called on another thread, perhaps at once and on this one, perhaps
  /// when the answer was just given: the listener finds out by the id whether there is still something to
  /// do, and must not answer by itself.
  virtual void on_interrupt(const void* reply) = 0;
};

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

  /// Moves the obligation to answer to the heap, for an answer that is given later. This object then counts
  /// as answered. The caller answers or drops the result before the session ends.
  [[nodiscard]] virtual std::unique_ptr<Reply> keep() = 0;

  /// Names the request as long as it is not answered; keep() does not change it.
  [[nodiscard]] virtual const void* id() const = 0;
  /// `listener` must outlive the request. The caller holds no lock that the listener takes.
  virtual void on_interrupt(InterruptListener& listener) = 0;
  [[nodiscard]] virtual bool interrupted() const = 0;
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
