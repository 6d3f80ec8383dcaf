// SPDX-License-Identifier: MIT
// An open file of the mount. One class per kind of file derives from this.
#pragma once

#include "core/error.h"
#include "fs/files/reply.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <poll.h>
#include <string_view>

namespace vmemfs {

struct ReadRequest {
  std::size_t size;
  std::uint64_t offset;
  /// The kernel fills pages of a private mapping: what a short answer lacks it would take for zeros.
  bool for_mapping;
  /// Where there is nothing to read yet the caller wants to hear just that: O_NONBLOCK.
  bool without_waiting;
};

/// One per open(2). The kernel may call several methods of one at once, and may release it as soon as
/// the last reply is on its way: whoever calls a method holds a reference until that has returned.
class OpenFile : public std::enable_shared_from_this<OpenFile> {
public:
  OpenFile() = default;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  virtual ~OpenFile() = default;

  /// Answers with up to request.size bytes from request.offset on; nothing at the end. Must not wait for
  /// what may never come: the reply can be moved from, and be given later.
  virtual void read(Reply& reply, const ReadRequest& request) = 0;

  /// How many of `bytes` were taken, from the start: at least one, unless there were none.
  virtual Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) {
    static_cast<void>(bytes);
    static_cast<void>(offset);
    return fail(ErrorKind::read_only, "fs", "this file takes no writes");
  }

  /// Tells what can be done without waiting. Where `handle` is set somebody may wait for more than that:
  /// then it is to be notified when there is more. Files that never make anybody wait need not.
  virtual void poll(Reply& reply, std::unique_ptr<PollHandle> handle) {
    static_cast<void>(handle);
    reply.poll(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
  }

  /// lseek's SEEK_DATA and SEEK_HOLE.
  virtual void seek(Reply& reply, std::uint64_t offset, int whence) {
    static_cast<void>(offset);
    static_cast<void>(whence);
    reply.error(ErrorKind::invalid);
  }
};

} // namespace vmemfs
