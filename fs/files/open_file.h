// SPDX-License-Identifier: MIT
// The interface of an open file. One class per kind of file derives from it.
#pragma once

#include "core/error.h"
#include "fs/files/reply.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>

namespace vmemfs {

struct ReadRequest {
  std::size_t size;
  std::uint64_t offset;
  /// The kernel fills pages of its cache: after a short answer it would fill up with zeros.
  bool for_mapping;
};

/// One per open(2). The kernel may call several methods of one at once, and may release it as soon as
/// the last reply is sent: the caller of a method holds a reference until it has returned.
class OpenFile : public std::enable_shared_from_this<OpenFile> {
public:
  OpenFile() = default;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  virtual ~OpenFile() = default;

  /// Answers with up to request.size bytes from request.offset on; with none at the end. Must not wait for
  /// what may never come: programs that copy a tree would hang.
  virtual void read(Reply& reply, const ReadRequest& request) = 0;

  /// Returns how many of `bytes` were taken, from the start: at least one, unless there were none.
  virtual Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) {
    static_cast<void>(bytes);
    static_cast<void>(offset);
    return fail(ErrorKind::read_only, "fs", "this file takes no writes");
  }

  /// Answers what can be done without waiting. If `handle` is set, it must be notified when more can be
  /// done, unless the file never makes a caller wait.
  virtual void poll(Reply& reply, std::unique_ptr<PollHandle> handle) {
    static_cast<void>(handle);
    reply.poll(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
  }

  /// A number that stays the same for as long as the kernel may keep what it reads of this file from now on,
  /// in its page cache; nullopt: it may keep nothing.
  [[nodiscard]] virtual std::optional<std::uint64_t> page_cache_epoch() { return std::nullopt; }
  /// Whether to read this file through the kernel's page cache if it is opened now.
  [[nodiscard]] virtual bool wants_page_cache() { return false; }
  /// Open files of one inode with different numbers do not have the same bytes at the same offsets.
  [[nodiscard]] virtual std::uint64_t page_layout() const { return 0; }
  /// Opens the file of the host that has the same bytes at the same offsets, for reading and writing: see
  /// BlockMemory::open_file(). For files with FileTraits::backed.
  [[nodiscard]] virtual Result<UniqueFd> open_backing() {
    return fail(ErrorKind::unsupported, "fs", "there is no file behind it");
  }
  /// How the file is served, as text for `info`: "passthrough", or "requests: " and the reason.
  virtual void note_service(const std::string& text) { static_cast<void>(text); }

  /// It was opened, but must not be used: why, for `control`.
  virtual void note_refusal(const Error& error) { static_cast<void>(error); }

  /// Answers lseek's SEEK_DATA and SEEK_HOLE.
  virtual void seek(Reply& reply, std::uint64_t offset, int whence) {
    static_cast<void>(offset);
    static_cast<void>(whence);
    reply.error(ErrorKind::invalid);
  }
};

} // namespace vmemfs
