// SPDX-License-Identifier: MIT
// One connection of a VM, with what was agreed on it and the vCPUs that are paused by it.
//
// When it ends, in whatever way, the kernel resumes the vCPUs. A VM that connects again gets a new one.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/kvmi/link/connection.h"
#include "drivers/kvmi/link/negotiation.h"
#include "drivers/kvmi/vcpus/pauses.h"
#include "drivers/kvmi/wire/dialect.h"
#include "drivers/kvmi/wire/event.h"
#include "drivers/kvmi/wire/greeting.h"
#include "util/mutex.h"
#include "util/timed_lock.h"
#include "util/unique_fd.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace vmemfs::kvmi {

/// Thread-safe.
class Session {
public:
  /// Events in a second that we did not ask for. More than these would be a way to keep us busy.
  static constexpr unsigned kMaxUnasked = 1024;

  /// `changed` is called on the receiving thread when the session has ended. It must not wait and must not
  /// destroy the session.
  Session(UniqueFd socket, Greeting greeting, std::chrono::milliseconds timeout,
          std::function<void()> changed);

  [[nodiscard]] const Greeting& greeting() const { return greeting_; }
  [[nodiscard]] Connection& connection() { return connection_; }
  [[nodiscard]] bool ended() const { return connection_.ended(); }

  /// Finds the dialect, once, and asks for the sizes, each time. Everything below needs it first.
  [[nodiscard]] Result<Facts> prepare() EXCLUDES(prepare_lock_);
  [[nodiscard]] Dialect dialect() const { return dialect_; }
  [[nodiscard]] const Numbers& numbers() const { return numbers_of(dialect_); }
  /// What this peer has beyond the rest of its dialect.
  [[nodiscard]] bool has_query() const { return has_query_; }
  [[nodiscard]] bool has_map_token() const { return has_map_token_; }
  /// The number of vCPUs as prepare() last found it.
  [[nodiscard]] std::uint32_t vcpus() const { return vcpus_; }

  /// Pauses all vCPUs; returns when all are paused. If one cannot be, all are resumed.
  [[nodiscard]] Result<void> pause() EXCLUDES(operations_);
  [[nodiscard]] Result<void> resume() EXCLUDES(operations_);
  /// All vCPUs wait for us.
  [[nodiscard]] bool paused() const { return paused_ && !ended(); }
  /// Pauses vCPUs that have come since, if the others are paused.
  [[nodiscard]] Result<void> pause_new_vcpus() EXCLUDES(operations_);

  [[nodiscard]] const Pauses& pauses() const { return pauses_; }

private:
  [[nodiscard]] Result<void> take_event(const Message& message);
  void ended_now();
  [[nodiscard]] Result<void> pause_all() REQUIRES(operations_);
  [[nodiscard]] Result<void> send_pauses(std::span<const std::uint16_t> vcpus) REQUIRES(operations_);
  [[nodiscard]] Result<void> release() REQUIRES(operations_);
  [[nodiscard]] Result<void> answer(const Event& event);
  [[nodiscard]] Connection::Clock::time_point deadline() const { return Connection::Clock::now() + timeout_; }

  const Greeting greeting_;
  const std::chrono::milliseconds timeout_;
  const std::function<void()> changed_;

  std::atomic<bool> known_{false}; ///< the dialect is
  std::atomic<Dialect> dialect_{Dialect::tree};
  std::atomic<bool> has_query_{false};
  std::atomic<bool> has_map_token_{false};
  std::atomic<std::uint32_t> vcpus_{0};
  std::atomic<bool> paused_{false};

  // Of the receiving thread alone: events that we did not ask for.
  Connection::Clock::time_point unasked_since_{};
  unsigned unasked_ = 0;

  Mutex prepare_lock_;   ///< held while the VM is asked
  TimedLock operations_; ///< one pause or resume at a time
  Pauses pauses_;
  Connection connection_; ///< last: its thread uses the rest
};

} // namespace vmemfs::kvmi
