// SPDX-License-Identifier: MIT
#include "fs/save/image/image_output.h"

#include "core/text.h"
#include "fs/save/image/partial_file.h"
#include "util/zeros.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::size_t kBlock = 4096;

/// Bytes from the start of `bytes` to the next border of a block of the file.
std::size_t first_block(std::uint64_t offset, std::span<const std::byte> bytes) {
  return std::min<std::size_t>(bytes.size(), kBlock - offset % kBlock);
}

/// Size of the run of blocks at the start of `bytes` that are all zero, or all not zero.
std::size_t run_of(std::uint64_t offset, std::span<const std::byte> bytes, bool zero) {
  std::size_t size = 0;
  while (size < bytes.size()) {
    const std::size_t block = first_block(offset + size, bytes.subspan(size));
    if (is_zero(bytes.subspan(size, block)) != zero) {
      break;
    }
    size += block;
  }
  return size;
}

int write_all(int fd, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) {
      return errno;
    }
    const auto written = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    bytes = bytes.subspan(written);
    offset += written;
  }
  return 0;
}

} // namespace

Result<void> SparseOutput::set_size(std::uint64_t size) const {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
    return write_failure(errno, path_);
  }
  return {};
}

Result<void> SparseOutput::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  bool zero = true;
  while (!bytes.empty()) {
    const std::size_t size = run_of(offset, bytes, zero);
    if (const int error = zero ? 0 : write_all(fd_, offset, bytes.first(size)); error != 0) {
      return write_failure(error, path_);
    }
    bytes = bytes.subspan(size);
    offset += size;
    zero = !zero;
  }
  return {};
}

Result<void> SparseOutput::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count == 0 || (count < 0 && errno != EINTR)) {
      return fail(
          ErrorKind::source_failed, "save",
          fmt::format("cannot read '{}{}', which is being written: somebody else has changed it; start "
                      "again",
                      printable(path_), kPartialSuffix));
    }
    const auto taken = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    bytes = bytes.subspan(taken);
    offset += taken;
  }
  return {};
}

Result<void> StreamOutput::write(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EAGAIN) { // whoever shares the descriptor has made it non-blocking
      pollfd target{fd_, POLLOUT, 0};
      ::poll(&target, 1, -1);
    } else if (count < 0 && errno != EINTR) {
      return write_failure(errno, name_);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  return {};
}

} // namespace vmemfs
