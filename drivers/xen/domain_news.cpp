#include "drivers/xen/domain_news.h"

#include "util/log.h"

#include <utility>

namespace vmemfs::xen {

Result<std::shared_ptr<DomainNews>> DomainNews::of(FdWatcher& watcher) {
  static std::mutex mutex;
  static std::map<FdWatcher*, std::weak_ptr<DomainNews>> known;
  const std::scoped_lock lock{mutex};
  std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
  if (const auto found = known.find(&watcher); found != known.end()) {
    if (auto news = found->second.lock()) {
      return news;
    }
  }
  auto store = Store::open();
  if (!store) {
    return tl::unexpected{store.error()};
  }
  auto news = std::make_shared<DomainNews>(std::move(*store), watcher);
  auto waiting = news->store_.watch(kDomainLeft).and_then([&] { return news->wait(); });
  if (!waiting) {
    return tl::unexpected{std::move(waiting.error())};
  }
  known[&watcher] = news;
  return news;
}

/// The lock, as it may be heard of something before the watch is ours.
Result<void> DomainNews::wait() {
  const std::scoped_lock lock{mutex_};
  auto watch = watcher_.watch_once(store_.fd(), [this] { hear(); });
  if (!watch) {
    return tl::unexpected{std::move(watch.error())};
  }
  watch_ = std::move(*watch);
  return {};
}

void DomainNews::hear() {
  bool any = false;
  for (;;) {
    const auto event = store_.next_event();
    if (!event) { // the drivers still notice an end when they read
      log::warning("{}; the end of domains is not told any more", event.error().message());
      return;
    }
    if (!*event) {
      break;
    }
    any = true;
  }
  if (any) {
    const std::scoped_lock lock{mutex_};
    for (const auto& [number, callback] : callbacks_) {
      callback();
    }
  }
  if (const auto waiting = wait(); !waiting) {
    log::warning("{}; the end of domains is not told any more", waiting.error().message());
  }
}

DomainNews::Subscription DomainNews::subscribe(std::function<void()> callback) {
  const std::scoped_lock lock{mutex_};
  const std::uint64_t number = next_number_++;
  callbacks_.emplace(number, std::move(callback));
  return {shared_from_this(), number};
}

DomainNews::Subscription& DomainNews::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    end();
    news_ = std::move(other.news_);
    number_ = other.number_;
  }
  return *this;
}

void DomainNews::Subscription::end() {
  if (news_ != nullptr) {
    const std::scoped_lock lock{news_->mutex_};
    news_->callbacks_.erase(number_);
  }
  news_.reset();
}

} // namespace vmemfs::xen
