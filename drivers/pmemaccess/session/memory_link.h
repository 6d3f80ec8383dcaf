// SPDX-License-Identifier: MIT
// Way to a guest's memory that outlasts a session: requests of many threads, one after the other, and a new
// session after a broken one.
//
// A session that ended is opened again by the next request, and once for a read that was under way; that is
// the only case in which a reader waits for a monitor. If it fails, requests fail at once for kAfterFailure.
// If there is nobody to open one, the VM has ended.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/pmemaccess/session/memory_session.h"
#include "util/timed_lock.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace vmemfs::pmemaccess {

/// Thread-safe.
class MemoryLink {
public:
  using Clock = MemorySession::Clock;
  using Opened = Result<std::unique_ptr<MemorySession>>;
  static constexpr std::chrono::seconds kAfterFailure{1};

  /// `open` makes a session; not_found from it means that the VM has ended. `on_end` is called once then, on
  /// any thread that uses the link, and must not use it. `timeout`: of one request.
  MemoryLink(std::function<Opened()> open, std::chrono::milliseconds timeout, std::function<void()> on_end)
      : open_{std::move(open)}, timeout_{timeout}, on_end_{std::move(on_end)} {}

  /// The first session. Returns who listens: MemorySession::peer().
  [[nodiscard]] Result<ucred> start() EXCLUDES(lock_);

  using Take = std::function<void(std::span<const std::byte>)>;
  /// Reads 1 to kMaxRead bytes and hands them to `take`, unless it fails. bad_page: QEMU cannot read the
  /// range. vm_gone; busy: other requests took the time; timed_out; source_failed.
  [[nodiscard]] Result<void> read(Gpa gpa, std::size_t size, Clock::time_point deadline, const Take& take)
      EXCLUDES(lock_);

  /// Writes 1 to kMaxWrite bytes, by one request that is never repeated. After any failure the next request
  /// has a new session.
  [[nodiscard]] Result<void> write(Gpa gpa, std::span<const std::byte> bytes, Clock::time_point deadline)
      EXCLUDES(lock_);

  /// Whether there was a session that has ended, for revive(). Waits for nobody.
  [[nodiscard]] bool lost() EXCLUDES(lock_);
  /// Opens a new session if the last one has ended.
  void revive() EXCLUDES(lock_);

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }

private:
  [[nodiscard]] Result<void> ensure_session() REQUIRES(lock_);
  [[nodiscard]] Clock::time_point request_end(Clock::time_point deadline) const {
    return std::min(deadline, Clock::now() + timeout_);
  }

  const std::function<Opened()> open_;
  const std::chrono::milliseconds timeout_;
  const std::function<void()> on_end_;
  TimedLock lock_; ///< held for a request and its reply
  std::unique_ptr<MemorySession> session_ GUARDED_BY(lock_);
  Clock::time_point next_open_ GUARDED_BY(lock_);
  std::atomic<bool> ended_{false};
};

} // namespace vmemfs::pmemaccess
