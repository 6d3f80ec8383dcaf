// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/subscribers.h"

#include <algorithm>
#include <utility>

namespace vmemfs::libvirt {

std::shared_ptr<void> Subscribers::add(const DomainRun& run, Callback callback) {
  const MutexLock lock{mutex_};
  const std::uint64_t number = next_++;
  entries_.emplace(number, Entry{run, std::move(callback)});
  return {nullptr, [self = shared_from_this(), number](void*) {
            const MutexLock one{self->mutex_};
            self->entries_.erase(number);
          }};
}

void Subscribers::notify(std::string_view uuid, DomainEvent event) {
  const MutexLock lock{mutex_};
  for (const auto& [number, entry] : entries_) {
    if (entry.run.uuid == uuid) {
      entry.callback(event);
    }
  }
}

void Subscribers::notify_all(DomainEvent event) {
  const MutexLock lock{mutex_};
  for (const auto& [number, entry] : entries_) {
    entry.callback(event);
  }
}

void Subscribers::notify_ended(std::span<const DomainRun> running) {
  const MutexLock lock{mutex_};
  for (const auto& [number, entry] : entries_) {
    const bool runs = std::ranges::any_of(running, [&run = entry.run](const DomainRun& other) {
      return other.uuid == run.uuid && other.id == run.id;
    });
    if (!runs) {
      entry.callback(DomainEvent::ended);
    }
  }
}

} // namespace vmemfs::libvirt
