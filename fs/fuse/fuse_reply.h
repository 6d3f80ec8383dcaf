// SPDX-License-Identifier: MIT
// The answer to one request of the kernel, through libfuse.
#pragma once

#include "core/error.h"
#include "fs/files/reply.h"
#include "fs/fuse/request_slot.h"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <fuse_lowlevel.h>
#include <memory>
#include <span>
#include <string_view>
#include <sys/stat.h>
#include <sys/uio.h>
#include <utility>

namespace vmemfs {

/// Not thread-safe. Lives on the stack of the callback that answers. If somebody else has answered a request
/// with a slot, the answer given here is dropped.
class FuseReply final : public Reply {
public:
  explicit FuseReply(RequestTicket request) : request_{request} {}
  ~FuseReply() override;
  FuseReply(const FuseReply&) = delete;
  FuseReply& operator=(const FuseReply&) = delete;

  void error(ErrorKind kind) override;
  void data(std::span<const iovec> bytes) override;
  void text(std::string_view bytes) override;
  void offset(std::uint64_t offset) override;
  void poll(unsigned events) override;

  // Answers that only the callbacks give.
  void ok(); ///< success without data
  /// Returns false if the kernel did not take it: then it does not count this lookup either.
  [[nodiscard]] bool entry(const fuse_entry_param& entry);
  void attributes(const struct stat& attributes, double valid_seconds);
  void written(std::size_t bytes);
  /// Returns false if the opener has given up meanwhile; no release follows then.
  [[nodiscard]] bool opened(const fuse_file_info& info);
  /// ESTALE, to open(2): the path means another node now. The kernel looks it up again, past the names that
  /// it remembers, and opens what it finds then.
  void stale();
  /// Somebody else answers: this object does not.
  void leave() { request_ = {nullptr}; }

private:
  /// The request, for the one answer; null: answered already.
  fuse_req_t take() {
    const RequestTicket taken = std::exchange(request_, {nullptr});
    const bool ours = taken.slot == nullptr || taken.slot->claim(taken.ticket);
    return ours ? taken.request : nullptr;
  }

  RequestTicket request_;
};

/// The handle of a poll request.
class FusePollHandle final : public PollHandle {
public:
  /// Takes over `handle`, which is not null.
  explicit FusePollHandle(fuse_pollhandle* handle) : handle_{handle} {}

  void notify() override { static_cast<void>(fuse_lowlevel_notify_poll(handle_.get())); }

private:
  struct Destroy {
    void operator()(fuse_pollhandle* handle) const { fuse_pollhandle_destroy(handle); }
  };
  const std::unique_ptr<fuse_pollhandle, Destroy> handle_;
};

/// Logs an exception that got out of a handler, and returns the kind of error that the kernel gets.
[[nodiscard]] ErrorKind kind_of_exception(std::string_view operation, const std::exception& exception);

/// Runs `handle(reply)`; an exception that gets out of it becomes an error reply, as nothing may be
/// thrown through libfuse's C code.
template <typename Handle> void answer(RequestTicket request, std::string_view operation, Handle&& handle) {
  FuseReply reply{request};
  try {
    handle(reply);
  } catch (const std::exception& exception) {
    reply.error(kind_of_exception(operation, exception));
  }
}

} // namespace vmemfs
