// SPDX-License-Identifier: MIT
// Log of the latest events of the VMs of a mount, for any number of readers.
#pragma once

#include "util/mutex.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

enum class EventKind : unsigned char {
  added,   ///< a VM was attached; detail: its driver
  removed, ///< it was removed; detail: the reason
  paused,  ///< it is paused; detail: who paused it
  resumed, ///< it runs again; detail: who resumed it
  reset,
  layout, ///< its memory map changed
  vcpus,  ///< vCPUs were plugged in or unplugged; detail: which, and those that it has now
  error,  ///< an operation failed; detail: the message
};
inline constexpr std::array kEventKinds{EventKind::added,   EventKind::removed, EventKind::paused,
                                        EventKind::resumed, EventKind::reset,   EventKind::layout,
                                        EventKind::vcpus,   EventKind::error};

/// The kind's name, as users see it.
[[nodiscard]] std::string_view to_string(EventKind kind);

struct Event {
  std::uint64_t number; ///< counts from 0 on, without a gap
  std::chrono::system_clock::time_point time;
  std::string vm; ///< name of its directory; not trusted
  EventKind kind;
  std::string detail; ///< not trusted
};

class EventListener {
public:
  virtual ~EventListener() = default;
  /// Called when there are new events, on the thread that appended one, which may hold locks: must return
  /// soon, must not throw, and must not query a VM.
  virtual void on_events() = 0;
};

/// A ring of the latest events. Thread-safe; appending waits for no reader.
class EventLog {
public:
  static constexpr std::size_t kMaxKept = 4096;

  explicit EventLog(std::size_t max_kept = kMaxKept);

  void append(EventKind kind, std::string vm, std::string detail);

  /// Number of the next event: the start for a reader that needs only new events.
  [[nodiscard]] std::uint64_t end() const;

  struct Part {
    std::uint64_t missed; ///< number of requested events that were overwritten
    std::vector<std::shared_ptr<const Event>> events;
  };
  /// The events from number `from` on, at most `max_count`.
  [[nodiscard]] Part read(std::uint64_t from, std::size_t max_count) const;

  /// Number of events of this kind since the start.
  [[nodiscard]] std::uint64_t count(EventKind kind) const;

  /// The listener is kept alive during a call, and removed after it has been destroyed.
  void add_listener(std::weak_ptr<EventListener> listener);

private:
  std::vector<std::shared_ptr<EventListener>> listeners() EXCLUDES(mutex_);

  mutable Mutex mutex_;                                               ///< not held while a listener is called
  std::vector<std::shared_ptr<const Event>> ring_ GUARDED_BY(mutex_); ///< event N is at N modulo its size
  std::uint64_t end_ GUARDED_BY(mutex_) = 0;
  std::vector<std::weak_ptr<EventListener>> listeners_ GUARDED_BY(mutex_);
  std::array<std::atomic<std::uint64_t>, kEventKinds.size()> counts_{};
};

} // namespace vmemfs
