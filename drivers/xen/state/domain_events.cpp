// SPDX-License-Identifier: MIT
#include "drivers/xen/state/domain_events.h"

#include "util/log.h"

#include <utility>

namespace vmemfs::xen {

Result<std::shared_ptr<DomainEvents>> DomainEvents::open(FdWatcher& watcher) {
  auto store = Store::open();
  if (!store) {
    return tl::unexpected{store.error()};
  }
  auto events = std::make_shared<DomainEvents>(std::move(*store), watcher);
  auto waiting = events->store_.watch(kDomainLeft).and_then([&] { return events->wait(); });
  if (!waiting) {
    return tl::unexpected{std::move(waiting.error())};
  }
  return events;
}

/// Locked, as an event may arrive before watch_ is set.
Result<void> DomainEvents::wait() {
  const MutexLock lock{mutex_};
  auto watch = watcher_.watch_once(store_.fd(), [this] { hear(); });
  if (!watch) {
    return tl::unexpected{std::move(watch.error())};
  }
  watch_ = std::move(*watch);
  return {};
}

void DomainEvents::hear() {
  bool any = false;
  for (;;) {
    const auto event = store_.next_event();
    if (!event) { // the drivers still notice an end when they read
      log::warning("{}; the end of domains is not reported any more", event.error().message());
      return;
    }
    if (!*event) {
      break;
    }
    any = true;
  }
  if (any) {
    const MutexLock lock{mutex_};
    for (const auto& [number, callback] : callbacks_) {
      callback();
    }
  }
  if (const auto waiting = wait(); !waiting) {
    log::warning("{}; the end of domains is not reported any more", waiting.error().message());
  }
}

DomainEvents::Subscription DomainEvents::subscribe(std::function<void()> callback) {
  const MutexLock lock{mutex_};
  const std::uint64_t number = next_number_++;
  callbacks_.emplace(number, std::move(callback));
  return {shared_from_this(), number};
}

DomainEvents::Subscription& DomainEvents::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    end();
    events_ = std::move(other.events_);
    number_ = other.number_;
  }
  return *this;
}

void DomainEvents::Subscription::end() {
  if (events_ != nullptr) {
    const MutexLock lock{events_->mutex_};
    events_->callbacks_.erase(number_);
  }
  events_.reset();
}

} // namespace vmemfs::xen
