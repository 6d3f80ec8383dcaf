// SPDX-License-Identifier: MIT
#include "host/private_batch.h"

#include <cerrno>
#include <unistd.h>

namespace vmemfs {

void PrivateBatch::add(std::size_t tag, Hva hva, std::span<std::byte> buffer) {
  if (count_ == kCapacity) {
    flush();
  }
  local_[count_] = iovec{buffer.data(), buffer.size()};
  // An address in the other process; never dereferenced in this one.
  remote_[count_] = iovec{reinterpret_cast<void*>(hva), buffer.size()}; // NOLINT(performance-no-int-to-ptr)
  tags_[count_] = tag;
  bytes_ += buffer.size();
  ++count_;
}

std::optional<ErrorKind> PrivateBatch::finish() {
  flush();
  if (read_by_pid_) {
    if (const auto current = space_.check_current(); !current) {
      return current.error().kind;
    }
  }
  return std::nullopt;
}

void PrivateBatch::flush() {
  if (bytes_ >= kLarge) {
    read_by_pid(count_);
  } else {
    read_by_space();
  }
  first_ = 0;
  count_ = 0;
  bytes_ = 0;
}

void PrivateBatch::read_by_space() {
  const auto memory = space_.memory();
  while (first_ < count_) {
    const auto at = static_cast<off_t>(reinterpret_cast<Hva>(remote_[first_].iov_base));
    const ssize_t got = memory ? ::pread(*memory, local_[first_].iov_base, local_[first_].iov_len, at) : -1;
    if (got > 0) {
      advance(static_cast<std::size_t>(got));
    } else if (got == 0 && local_[first_].iov_len != 0) {
      fail_first(ESRCH);
    } else {
      read_by_pid(first_ + 1); // also finds out why it fails
    }
  }
}

/// Up to stretch `count`.
void PrivateBatch::read_by_pid(std::size_t count) {
  read_by_pid_ = true;
  while (first_ < count) {
    const std::size_t left = count - first_;
    const ssize_t got = ::process_vm_readv(space_.pid(), &local_[first_], left, &remote_[first_], left, 0);
    if (got > 0) {
      // Short if a stretch fails in its middle: the next call starts there and reports the error.
      advance(static_cast<std::size_t>(got));
    } else {
      fail_first(got == 0 ? EFAULT : errno);
    }
  }
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
