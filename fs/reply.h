// SPDX-License-Identifier: MIT
// The answer to one request of the kernel: given once, whatever happens.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <fuse_lowlevel.h>
#include <new>
#include <span>
#include <string_view>
#include <sys/uio.h>
#include <utility>

namespace vmemfs {

/// Not thread-safe. A reply that was never given becomes EIO when this goes away, so no caller of
/// ours ever hangs because of a forgotten branch. Who wants to answer later moves it to where it is kept, and
/// answers or drops it before the session ends.
class Reply {
public:
  explicit Reply(fuse_req_t request) : request_{request} {}
  ~Reply();
  Reply(Reply&& other) noexcept : request_{std::exchange(other.request_, nullptr)} {}
  Reply& operator=(Reply&&) = delete;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  void error(ErrorKind kind);
  void ok(); ///< success without data
  void entry(const fuse_entry_param& entry);
  void attributes(const struct stat& attributes, double valid_seconds);
  /// Returns false where the opener has given up meanwhile; no release follows then.
  [[nodiscard]] bool opened(const fuse_file_info& info);
  /// The same for a file without a position. (What libfuse calls nonseekable keeps one, and with it a lock: a
  /// second thread that reads the same handle would sleep where no signal reaches it.)
  [[nodiscard]] bool opened_stream(const fuse_file_info& info);
  void data(std::span<const std::byte> bytes);
  void data(std::span<const iovec> bytes);
  void text(std::string_view bytes);
  void written(std::size_t bytes);
  void offset(std::uint64_t offset);
  void poll(unsigned events); ///< as poll(2)'s revents

  /// Names the request as long as it is not answered.
  [[nodiscard]] const void* id() const { return request_; }
  /// `callback(request, data)` is called on another thread when the caller has given up, perhaps at once and
  /// on this one, perhaps when the answer was just given: it must find out by the request's address whether
  /// there is still something to do, and must not answer by itself. Nothing that it locks may be held here.
  void on_interrupt(fuse_interrupt_func_t callback, void* data);
  [[nodiscard]] bool interrupted() const;

private:
  fuse_req_t take();

  fuse_req_t request_;
};

/// Runs `handle(reply)`; an exception that gets out of it becomes an error reply, as nothing may be
/// thrown through libfuse's C code.
template <typename Handle> void answer(fuse_req_t request, std::string_view operation, Handle&& handle);

/// Logs what got out of a handler and says what the kernel is told.
[[nodiscard]] ErrorKind kind_of_exception(std::string_view operation, const std::exception& exception);

template <typename Handle> void answer(fuse_req_t request, std::string_view operation, Handle&& handle) {
  Reply reply{request};
  try {
    handle(reply);
  } catch (const std::exception& exception) {
    reply.error(kind_of_exception(operation, exception));
  }
}

} // namespace vmemfs
