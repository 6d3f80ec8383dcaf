// SPDX-License-Identifier: MIT
#include "vm/event_log.h"

#include "core/text.h"
#include "util/log.h"

#include <algorithm>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxLogged = 1000;

} // namespace

std::string_view to_string(EventKind kind) {
  switch (kind) {
  case EventKind::added: return "added";
  case EventKind::removed: return "removed";
  case EventKind::paused: return "paused";
  case EventKind::resumed: return "resumed";
  case EventKind::reset: return "reset";
  case EventKind::layout: return "layout";
  case EventKind::vcpus: return "vcpus";
  case EventKind::error: return "error";
  }
  return "unknown";
}

EventLog::EventLog(std::size_t max_kept) : ring_(std::max<std::size_t>(max_kept, 1)) {}

void EventLog::append(EventKind kind, std::string vm, std::string detail) {
  log::debug("{}: {}: {}", printable(vm), to_string(kind), printable(detail, kMaxLogged));
  auto event = std::make_shared<Event>(Event{0, {}, std::move(vm), kind, std::move(detail)});
  std::shared_ptr<const Event> overtaken; // destroyed after the lock is released
  {
    const MutexLock lock{mutex_};
    event->number = end_++;
    event->time =
        std::chrono::system_clock::now(); // under the lock, so that times are in the order of numbers
    overtaken = std::exchange(ring_[event->number % ring_.size()], std::move(event));
    counts_[static_cast<std::size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
  }
  for (const auto& listener : listeners()) {
    listener->on_events();
  }
}

std::uint64_t EventLog::end() const {
  const MutexLock lock{mutex_};
  return end_;
}

EventLog::Part EventLog::read(std::uint64_t from, std::size_t max_count) const {
  const MutexLock lock{mutex_};
  const std::uint64_t oldest = end_ > ring_.size() ? end_ - ring_.size() : 0;
  const std::uint64_t begin = std::clamp(from, oldest, std::max(oldest, end_));
  Part part{from < oldest ? oldest - from : 0, {}};
  for (std::uint64_t number = begin; number < end_ && part.events.size() < max_count; ++number) {
    part.events.push_back(ring_[number % ring_.size()]);
  }
  return part;
}

std::uint64_t EventLog::count(EventKind kind) const {
  return counts_[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed);
}

void EventLog::add_listener(std::weak_ptr<EventListener> listener) {
  const MutexLock lock{mutex_};
  listeners_.push_back(std::move(listener));
}

/// The listeners that still exist.
std::vector<std::shared_ptr<EventListener>> EventLog::listeners() {
  std::vector<std::shared_ptr<EventListener>> alive;
  const MutexLock lock{mutex_};
  std::erase_if(listeners_, [&](const auto& weak) {
    auto listener = weak.lock();
    const bool gone = listener == nullptr;
    if (!gone) {
      alive.push_back(std::move(listener));
    }
    return gone;
  });
  return alive;
}

} // namespace vmemfs
