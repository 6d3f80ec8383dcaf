// SPDX-License-Identifier: MIT
#include "fs/reply.h"

#include "fs/errno_map.h"
#include "util/log.h"

#include <cerrno>
#include <linux/fuse.h>
#include <utility>

namespace vmemfs {

Reply::~Reply() {
  if (request_ != nullptr) {
    fuse_reply_err(request_, EIO);
  }
}

fuse_req_t Reply::take() { return std::exchange(request_, nullptr); }

// libfuse drops what is said to a request that was answered before; so do we, in error(), because an
// exception may come after the answer was given.
void Reply::error(ErrorKind kind) {
  if (request_ != nullptr) {
    fuse_reply_err(take(), errno_of(kind));
  }
}

void Reply::ok() { fuse_reply_err(take(), 0); }

void Reply::entry(const fuse_entry_param& entry) { fuse_reply_entry(take(), &entry); }

void Reply::attributes(const struct stat& attributes, double valid_seconds) {
  fuse_reply_attr(take(), &attributes, valid_seconds);
}

bool Reply::opened(const fuse_file_info& info) { return fuse_reply_open(take(), &info) != -ENOENT; }

bool Reply::opened_stream(const fuse_file_info& info) {
  // libfuse 3.14 has no word for it, so this is its fuse_reply_open() by hand. Kernels before 5.1 know
  // only the second flag.
  fuse_open_out out{};
  out.fh = info.fh;
  out.open_flags = FOPEN_STREAM | FOPEN_NONSEEKABLE | (info.direct_io != 0 ? FOPEN_DIRECT_IO : 0);
  return fuse_reply_buf(take(), reinterpret_cast<const char*>(&out), sizeof out) != -ENOENT;
}

void Reply::data(std::span<const std::byte> bytes) {
  fuse_reply_buf(take(), reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void Reply::data(std::span<const iovec> bytes) {
  if (bytes.size() == 1) { // the usual case, and the one in which libfuse allocates nothing
    fuse_reply_buf(take(), static_cast<const char*>(bytes.front().iov_base), bytes.front().iov_len);
  } else {
    fuse_reply_iov(take(), bytes.data(), static_cast<int>(bytes.size()));
  }
}

void Reply::text(std::string_view bytes) { fuse_reply_buf(take(), bytes.data(), bytes.size()); }

void Reply::written(std::size_t bytes) { fuse_reply_write(take(), bytes); }

void Reply::offset(std::uint64_t offset) { fuse_reply_lseek(take(), static_cast<off_t>(offset)); }

void Reply::poll(unsigned events) { fuse_reply_poll(take(), events); }

void Reply::on_interrupt(fuse_interrupt_func_t callback, void* data) {
  fuse_req_interrupt_func(request_, callback, data);
}

bool Reply::interrupted() const { return fuse_req_interrupted(request_) != 0; }

ErrorKind kind_of_exception(std::string_view operation, const std::exception& exception) {
  log::error("{}: {}", operation, exception.what());
  return dynamic_cast<const std::bad_alloc*>(&exception) != nullptr ? ErrorKind::no_memory
                                                                    : ErrorKind::source_failed;
}

} // namespace vmemfs
