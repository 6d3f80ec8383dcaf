// SPDX-License-Identifier: MIT
#include "fs/fuse/fuse_reply.h"

#include "fs/errno_map.h"
#include "util/log.h"

#include <cerrno>
#include <linux/fuse.h>
#include <new>

namespace vmemfs {

FuseReply::~FuseReply() {
  if (fuse_req* const request = take()) {
    fuse_reply_err(request, EIO);
  }
}

void FuseReply::error(ErrorKind kind) {
  if (fuse_req* const request = take()) {
    fuse_reply_err(request, errno_of(kind));
  }
}

void FuseReply::data(std::span<const iovec> bytes) {
  fuse_req* const request = take();
  if (request == nullptr) {
    return;
  }
  if (bytes.size() == 1) { // the usual case, and the one in which libfuse allocates nothing
    fuse_reply_buf(request, static_cast<const char*>(bytes.front().iov_base), bytes.front().iov_len);
  } else {
    fuse_reply_iov(request, bytes.data(), static_cast<int>(bytes.size()));
  }
}

void FuseReply::text(std::string_view bytes) {
  if (fuse_req* const request = take()) {
    fuse_reply_buf(request, bytes.data(), bytes.size());
  }
}

void FuseReply::offset(std::uint64_t offset) {
  if (fuse_req* const request = take()) {
    fuse_reply_lseek(request, static_cast<off_t>(offset));
  }
}

void FuseReply::poll(unsigned events) {
  if (fuse_req* const request = take()) {
    fuse_reply_poll(request, events);
  }
}

std::unique_ptr<Reply> FuseReply::keep() {
  auto kept = std::make_unique<FuseReply>(request_); // may throw: until here this object has to answer
  leave();
  return kept;
}

void FuseReply::on_interrupt(InterruptListener& listener) {
  const auto notify = [](fuse_req_t request, void* data) {
    static_cast<InterruptListener*>(data)->on_interrupt(request);
  };
  fuse_req_interrupt_func(request_.request, notify, &listener);
}

bool FuseReply::interrupted() const { return fuse_req_interrupted(request_.request) != 0; }

void FuseReply::ok() {
  if (fuse_req* const request = take()) {
    fuse_reply_err(request, 0);
  }
}

bool FuseReply::entry(const fuse_entry_param& entry) { return fuse_reply_entry(take(), &entry) == 0; }

void FuseReply::attributes(const struct stat& attributes, double valid_seconds) {
  fuse_reply_attr(take(), &attributes, valid_seconds);
}

void FuseReply::written(std::size_t bytes) {
  if (fuse_req* const request = take()) {
    fuse_reply_write(request, bytes);
  }
}

bool FuseReply::opened(const fuse_file_info& info) { return fuse_reply_open(take(), &info) != -ENOENT; }

bool FuseReply::opened_stream(const fuse_file_info& info) {
  // libfuse 3.14 has no flag for it, so this is its fuse_reply_open() by hand. Kernels before 5.1 know
  // only the second flag.
  fuse_open_out out{};
  out.fh = info.fh;
  out.open_flags = FOPEN_STREAM | FOPEN_NONSEEKABLE | (info.direct_io != 0 ? FOPEN_DIRECT_IO : 0);
  return fuse_reply_buf(take(), reinterpret_cast<const char*>(&out), sizeof out) != -ENOENT;
}

ErrorKind kind_of_exception(std::string_view operation, const std::exception& exception) {
  log::error("{}: {}", operation, exception.what());
  return dynamic_cast<const std::bad_alloc*>(&exception) != nullptr ? ErrorKind::no_memory
                                                                    : ErrorKind::source_failed;
}

} // namespace vmemfs
