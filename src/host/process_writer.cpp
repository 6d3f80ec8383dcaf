// SPDX-License-Identifier: MIT
#include "host/process_writer.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";

tl::unexpected<Error> gone(pid_t pid) {
  return fail(ErrorKind::vm_gone, kOrigin, fmt::format("process {} has ended", pid));
}

} // namespace

Result<int> ProcessWriter::file() {
  const MutexLock lock{mutex_};
  if (file_) {
    return file_.get();
  }
  const pid_t pid = process_->pid();
  UniqueFd file{::open(fmt::format("/proc/{}/mem", pid).c_str(), O_WRONLY | O_CLOEXEC)};
  const int os_errno = errno;
  if (!process_->alive()) { // otherwise this may be the memory of a later process
    return gone(pid);
  }
  if (!file) {
    std::string what = fmt::format("cannot open the memory of process {} for writing", pid);
    if (os_errno == EPERM || os_errno == EACCES) {
      what += fmt::format(" ({})", access_remedy(pid));
    }
    return fail_errno(os_errno, kOrigin, std::move(what));
  }
  file_ = std::move(file);
  return file_.get();
}

ProcessWriter::Outcome ProcessWriter::write(Hva hva, std::span<const std::byte> bytes) {
  Outcome outcome;
  const auto opened = file();
  if (!opened) {
    outcome.failure = opened.error();
    return outcome;
  }
  while (outcome.done < bytes.size()) {
    const auto rest = bytes.subspan(outcome.done);
    const ssize_t put = ::pwrite(*opened, rest.data(), rest.size(), static_cast<off_t>(hva + outcome.done));
    if (put > 0) {
      outcome.done += static_cast<std::size_t>(put);
    } else if (put == 0) { // the kernel returns 0 for an address space that no longer exists
      outcome.failure = gone(process_->pid()).value();
      return outcome;
    } else if (errno != EINTR) {
      outcome.failure = fail_errno(errno, kOrigin,
                                   fmt::format("cannot write memory of process {} at {:#x}", process_->pid(),
                                               hva + outcome.done))
                            .value();
      return outcome;
    }
  }
  return outcome;
}

} // namespace vmemfs
