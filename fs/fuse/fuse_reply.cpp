// SPDX-License-Identifier: MIT
#include "fs/fuse/fuse_reply.h"

#include "fs/errno_map.h"
#include "util/log.h"

#include <cerrno>
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

bool FuseReply::opened(const fuse_file_info& info) {
  fuse_req* const request = take();
  return request != nullptr && fuse_reply_open(request, &info) != -ENOENT;
}

void FuseReply::stale() {
  if (fuse_req* const request = take()) {
    fuse_reply_err(request, ESTALE);
  }
}

ErrorKind kind_of_exception(std::string_view operation, const std::exception& exception) {
  log::error("{}: {}", operation, exception.what());
  return dynamic_cast<const std::bad_alloc*>(&exception) != nullptr ? ErrorKind::no_memory
                                                                    : ErrorKind::source_failed;
}

} // namespace vmemfs
