#include "drivers/libvirt/subscribers.h"

#include <algorithm>
#include <utility>

namespace vmemfs::libvirt {

std::shared_ptr<void> Subscribers::add(const DomainRun& run, Tell tell) {
  const std::scoped_lock lock{mutex_};
  const std::uint64_t number = next_++;
  entries_.emplace(number, Entry{run, std::move(tell)});
  return {nullptr, [self = shared_from_this(), number](void*) {
            const std::scoped_lock one{self->mutex_};
            self->entries_.erase(number);
          }};
}

void Subscribers::tell(std::string_view uuid, DomainNews news) {
  const std::scoped_lock lock{mutex_};
  for (const auto& [number, entry] : entries_) {
    if (entry.run.uuid == uuid) {
      entry.tell(news);
    }
  }
}

void Subscribers::tell_all(DomainNews news) {
  const std::scoped_lock lock{mutex_};
  for (const auto& [number, entry] : entries_) {
    entry.tell(news);
  }
}

void Subscribers::tell_ended(std::span<const DomainRun> running) {
  const std::scoped_lock lock{mutex_};
  for (const auto& [number, entry] : entries_) {
    const bool runs = std::ranges::any_of(running, [&run = entry.run](const DomainRun& other) {
      return other.uuid == run.uuid && other.id == run.id;
    });
    if (!runs) {
      entry.tell(DomainNews::ended);
    }
  }
}

} // namespace vmemfs::libvirt
