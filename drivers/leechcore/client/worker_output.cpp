// SPDX-License-Identifier: MIT
#include "drivers/leechcore/client/worker_output.h"

#include "core/text.h"
#include "util/log.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::leechcore {
namespace {

constexpr std::size_t kLastLines = 4;
constexpr int kReadsAtOnce = 16; ///< the watcher's thread has other descriptors too

} // namespace

Result<std::shared_ptr<WorkerOutput>> WorkerOutput::watch(UniqueFd fd, FdWatcher& watcher, std::string name) {
  auto output = std::make_shared<WorkerOutput>(std::move(fd), watcher, std::move(name));
  if (auto waiting = output->wait(); !waiting) {
    return tl::unexpected{std::move(waiting.error())};
  }
  return output;
}

void WorkerOutput::stop() {
  FdWatcher::Watch ended; // without the lock, which the callback takes
  {
    const MutexLock lock{mutex_};
    stopped_ = true;
    ended = std::move(watch_);
  }
}

std::string WorkerOutput::last_lines() {
  const MutexLock lock{mutex_};
  static_cast<void>(read_some());
  return fmt::format("{}", fmt::join(last_, " / "));
}

Result<void> WorkerOutput::wait() {
  const MutexLock lock{mutex_};
  if (stopped_) {
    return {};
  }
  auto watch = watcher_.watch_once(fd_.get(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->read_and_wait();
    }
  });
  if (!watch) {
    return tl::unexpected{std::move(watch.error())};
  }
  watch_ = std::move(*watch);
  return {};
}

void WorkerOutput::read_and_wait() {
  {
    const MutexLock lock{mutex_};
    if (!read_some()) {
      return;
    }
  }
  if (const auto waiting = wait(); !waiting) {
    log::warning("{}: {}; what LeechCore prints is lost", name_, waiting.error().message());
  }
}

/// False at the end of the stream.
bool WorkerOutput::read_some() {
  std::array<char, 4096> buffer;
  for (int i = 0; i < kReadsAtOnce; ++i) {
    const ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      return size < 0 && (errno == EAGAIN || errno == EINTR);
    }
    for (const std::string& line : cutter_.feed({buffer.data(), static_cast<std::size_t>(size)})) {
      log_line(line);
    }
  }
  return true;
}

void WorkerOutput::log_line(const std::string& line) {
  std::string text = printable(line, LineCutter::kMaxLine);
  const auto now = std::chrono::steady_clock::now();
  if (now >= interval_end_) {
    if (lines_ > kLinesPerInterval) {
      log::info("{}: {} more lines of LeechCore", name_, lines_ - kLinesPerInterval);
    }
    interval_end_ = now + kInterval;
    lines_ = 0;
  }
  if (++lines_ <= kLinesPerInterval) {
    log::info("{}: LeechCore: {}", name_, text);
  }
  last_.push_back(std::move(text));
  if (last_.size() > kLastLines) {
    last_.pop_front();
  }
}

} // namespace vmemfs::leechcore
