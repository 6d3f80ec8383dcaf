// SPDX-License-Identifier: MIT
// Thread that waits for any number of file descriptors.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "util/unique_fd.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <thread>

namespace vmemfs {

class FdWatcher {
public:
  /// Throws std::system_error if the kernel has no descriptors or threads left.
  FdWatcher();
  /// All watches must have ended. Must not be called by a callback.
  ~FdWatcher();
  FdWatcher(const FdWatcher&) = delete;
  FdWatcher& operator=(const FdWatcher&) = delete;

  /// Ends the watch when destroyed; when the destructor returns, the callback does not run any more
  /// (unless it is the callback itself that destroys it). Other callbacks are not waited for.
  class Watch {
  public:
    Watch() = default;
    Watch(FdWatcher* watcher, std::uint64_t id) : watcher_{watcher}, id_{id} {}
    Watch(Watch&& other) noexcept;
    Watch& operator=(Watch&& other) noexcept;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { end(); }
    void end();

  private:
    FdWatcher* watcher_ = nullptr;
    std::uint64_t id_ = 0;
  };

  /// Calls `callback` once, on the watcher's thread, when `fd` becomes readable (a pidfd: when the
  /// process has ended) or is hung up. `fd` must stay open while the watch lives, and may be watched
  /// once at a time. The callback must return soon and must not throw; it may begin and end watches.
  [[nodiscard]] Result<Watch> watch_once(int fd, std::function<void()> callback);

  /// Calls `callback` about once a second, on the watcher's thread, under the same conditions. One timer for
  /// all of them.
  [[nodiscard]] Watch watch_every_second(std::function<void()> callback) EXCLUDES(mutex_);

private:
  struct Entry {
    int fd;
    std::function<void()> callback;
  };

  void run(const std::stop_token& stop);
  void fire(std::uint64_t id) EXCLUDES(mutex_);
  void fire_every_second() EXCLUDES(mutex_);
  void start_timer(bool on) REQUIRES(mutex_);
  void remove(std::uint64_t id) EXCLUDES(mutex_);

  UniqueFd epoll_;
  UniqueFd wake_;
  UniqueFd timer_;
  Mutex mutex_;
  Condition callback_ended_;
  std::map<std::uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  /// Their callbacks, shared so that one may end its own watch; the timer is on if there is any.
  std::map<std::uint64_t, std::shared_ptr<const std::function<void()>>> every_second_ GUARDED_BY(mutex_);
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::uint64_t running_id_ GUARDED_BY(mutex_) = 0; ///< the watch whose callback is running; 0: none
  std::jthread thread_;
};

} // namespace vmemfs
