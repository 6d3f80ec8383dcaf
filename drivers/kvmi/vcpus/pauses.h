// SPDX-License-Identifier: MIT
// The PAUSE events of a VM: how many are still to come, and which vCPUs wait for the reply to one.
//
// Each accepted PAUSE command gives exactly one event, before or after the command's reply. The vCPU is
// paused from the event until our reply to it. An event that comes when nobody wants the VM paused any more
// is answered at once.
#pragma once

#include "drivers/kvmi/wire/event.h"
#include "util/mutex.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace vmemfs::kvmi {

/// Thread-safe.
class Pauses {
public:
  using Clock = std::chrono::steady_clock;

  /// From now on PAUSE events are kept.
  void begin() EXCLUDES(mutex_);
  /// Of `vcpus`, those that need a PAUSE command, because they neither wait nor have an event to come.
  /// Their events are expected from now on.
  [[nodiscard]] std::vector<std::uint16_t> expect(std::uint32_t vcpus) EXCLUDES(mutex_);
  /// The command failed: there will be no event.
  void not_expected(std::uint16_t vcpu) EXCLUDES(mutex_);

  /// True if all these vCPUs wait; false at the deadline or if the connection has ended.
  [[nodiscard]] bool wait_all(std::uint32_t vcpus, Clock::time_point deadline) EXCLUDES(mutex_);
  /// A vCPU that does not wait, the lowest of them.
  [[nodiscard]] std::optional<std::uint16_t> running(std::uint32_t vcpus) const EXCLUDES(mutex_);
  [[nodiscard]] bool waits(std::uint16_t vcpu) const EXCLUDES(mutex_);

  enum class Taken : std::uint8_t {
    kept,
    too_late, ///< to be answered now, as nobody wants the pause any more
    not_ours, ///< of no command of ours; to be answered now
  };
  /// A PAUSE event.
  [[nodiscard]] Taken take(const Event& event) EXCLUDES(mutex_);

  /// From now on PAUSE events are not kept. The events that are to be answered.
  [[nodiscard]] std::vector<Event> release() EXCLUDES(mutex_);
  /// True if no event is to come any more; false at the deadline.
  [[nodiscard]] bool wait_none(Clock::time_point deadline) EXCLUDES(mutex_);

  /// The connection has ended, and with it all pauses.
  void end() EXCLUDES(mutex_);

private:
  struct Vcpu {
    unsigned expected = 0;        ///< events to come
    std::optional<Event> event{}; ///< the one that it waits in
  };
  [[nodiscard]] std::optional<std::uint16_t> running_of(std::uint32_t vcpus) const REQUIRES(mutex_);

  mutable Mutex mutex_; ///< leaf
  Condition changed_;
  bool wanted_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::map<std::uint16_t, Vcpu> vcpus_ GUARDED_BY(mutex_); ///< those that we have sent a PAUSE
};

} // namespace vmemfs::kvmi
