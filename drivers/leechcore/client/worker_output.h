// SPDX-License-Identifier: MIT
// Printed output of a worker process: lines for the log, limited in length and number.
#pragma once

#include "core/error.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"
#include "util/unique_fd.h"

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::leechcore {

/// Cuts a stream into lines, of kMaxLine bytes at most. Not thread-safe.
class LineCutter {
public:
  static constexpr std::size_t kMaxLine = 400;

  /// The lines that are complete now or have become too long, without empty ones.
  [[nodiscard]] std::vector<std::string> feed(std::string_view bytes) {
    std::vector<std::string> lines;
    for (const char byte : bytes) {
      if (byte != '\n') {
        line_ += byte;
      }
      if (!line_.empty() && (byte == '\n' || line_.size() == kMaxLine)) {
        lines.push_back(std::exchange(line_, {}));
      }
    }
    return lines;
  }

private:
  std::string line_;
};

/// Reads all that is printed, so that the library never waits for it; what is beyond kLinesPerInterval is
/// counted and not logged. Thread-safe.
class WorkerOutput : public std::enable_shared_from_this<WorkerOutput> {
public:
  static constexpr unsigned kLinesPerInterval = 20;
  static constexpr std::chrono::seconds kInterval{10};

  /// `fd`: the pipe, which does not block.
  static Result<std::shared_ptr<WorkerOutput>> watch(UniqueFd fd, FdWatcher& watcher, std::string name);
  WorkerOutput(UniqueFd fd, FdWatcher& watcher, std::string name)
      : fd_{std::move(fd)}, watcher_{watcher}, name_{std::move(name)} {}

  /// Ends the watch; waits for what runs of it.
  void stop();

  /// The last lines, in one, after everything that was printed so far. Empty: nothing was.
  [[nodiscard]] std::string last_lines();

private:
  Result<void> wait() EXCLUDES(mutex_);
  void read_and_wait() EXCLUDES(mutex_);
  bool read_some() REQUIRES(mutex_);
  void log_line(const std::string& line) REQUIRES(mutex_);

  const UniqueFd fd_;
  FdWatcher& watcher_;
  const std::string name_;
  Mutex mutex_; ///< leaf, but for FdWatcher::mutex_
  FdWatcher::Watch watch_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  LineCutter cutter_ GUARDED_BY(mutex_);
  std::deque<std::string> last_ GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point interval_end_ GUARDED_BY(mutex_){};
  unsigned lines_ GUARDED_BY(mutex_) = 0; ///< in this interval
};

} // namespace vmemfs::leechcore
