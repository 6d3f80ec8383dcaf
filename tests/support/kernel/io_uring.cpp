// SPDX-License-Identifier: MIT
#include "support/kernel/io_uring.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdexcept>
#include <sys/file.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

constexpr const char* kParameter = "/sys/module/fuse/parameters/enable_uring";
constexpr const char* kLock = "/tmp/vmemfs-test-io-uring.lock";

void set(const std::string& value) {
  const UniqueFd file{::open(kParameter, O_WRONLY | O_CLOEXEC)};
  if (!file || ::write(file.get(), value.data(), value.size()) < 0) {
    throw std::runtime_error{fmt::format("{}: {}", kParameter, std::strerror(errno))};
  }
}

} // namespace

std::optional<std::string> why_no_io_uring() {
  if (::access(kParameter, F_OK) != 0) {
    return "FUSE over io_uring takes Linux 6.14";
  }
  if (::access(kParameter, W_OK) != 0) {
    return fmt::format("{} is root's", kParameter);
  }
  return std::nullopt;
}

IoUringOffered::IoUringOffered() : lock_{::open(kLock, O_RDWR | O_CREAT | O_CLOEXEC, 0600)} {
  if (const auto reason = why_no_io_uring()) {
    throw std::runtime_error{*reason};
  }
  if (!lock_ || ::flock(lock_.get(), LOCK_EX) != 0) {
    throw std::runtime_error{fmt::format("{}: {}", kLock, std::strerror(errno))};
  }
  before_ = read_file(kParameter);
  set("Y");
}

IoUringOffered::~IoUringOffered() { set(before_); }

bool wants_io_uring() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it
  return std::getenv("VMEMFS_TEST_IO_URING") != nullptr && !why_no_io_uring();
}

} // namespace vmemfs::test
