// SPDX-License-Identifier: MIT
#include "host/private_batch.h"

#include <cerrno>

namespace vmemfs {

void PrivateBatch::add(std::size_t tag, Hva hva, std::span<std::byte> buffer) {
  if (count_ == kCapacity) {
    flush();
  }
  local_[count_] = iovec{buffer.data(), buffer.size()};
  // An address in the other process; never dereferenced in this one.
  remote_[count_] = iovec{reinterpret_cast<void*>(hva), buffer.size()}; // NOLINT(performance-no-int-to-ptr)
  tags_[count_] = tag;
  ++count_;
}

std::optional<ErrorKind> PrivateBatch::finish() {
  flush();
  if (used_ && !proved_) {
    if (const auto current = space_.check_current(); !current) {
      return current.error().kind;
    }
  }
  return std::nullopt;
}

void PrivateBatch::flush() {
  used_ |= first_ < count_;
  while (first_ < count_) {
    const ssize_t got = space_.read(local_, remote_, first_, count_, proved_);
    if (got > 0) {
      // Short if a stretch fails in its middle: the next call starts there and reports the error.
      advance(static_cast<std::size_t>(got));
    } else {
      fail_first(got == 0 ? EFAULT : errno);
    }
  }
  first_ = 0;
  count_ = 0;
}

void PrivateBatch::advance(std::size_t bytes) {
  while (first_ < count_ && bytes >= local_[first_].iov_len) {
    bytes -= local_[first_].iov_len;
    ++first_;
  }
  if (first_ < count_) {
    local_[first_].iov_base = static_cast<std::byte*>(local_[first_].iov_base) + bytes;
    local_[first_].iov_len -= bytes;
    remote_[first_].iov_base = static_cast<std::byte*>(remote_[first_].iov_base) + bytes;
    remote_[first_].iov_len -= bytes;
  }
}

void PrivateBatch::fail_first(int os_errno) {
  sink_.stretch_failed(tags_[first_], static_cast<const std::byte*>(local_[first_].iov_base), os_errno);
  ++first_;
}

} // namespace vmemfs
