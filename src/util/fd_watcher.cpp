// SPDX-License-Identifier: MIT
#include "util/fd_watcher.h"

#include "util/signals.h"

#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t kWakeId = 0;
constexpr std::uint64_t kTimerId = ~std::uint64_t{0};

UniqueFd or_throw(int fd, const char* what) {
  if (fd < 0) {
    throw std::system_error{errno, std::generic_category(), what};
  }
  return UniqueFd{fd};
}

int add_to_epoll(int epoll, int fd, std::uint64_t id, std::uint32_t events = EPOLLIN | EPOLLONESHOT) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

} // namespace

FdWatcher::FdWatcher()
    : epoll_{or_throw(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")},
      wake_{or_throw(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")},
      timer_{or_throw(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")} {
  if (add_to_epoll(epoll_.get(), wake_.get(), kWakeId) != 0 ||
      add_to_epoll(epoll_.get(), timer_.get(), kTimerId, EPOLLIN) != 0) {
    throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
  }
  const SignalsBlocked blocked;
  thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
}

FdWatcher::~FdWatcher() {
  thread_.request_stop();
  // Cannot fail: the counter of a fresh eventfd is far from full.
  static_cast<void>(::eventfd_write(wake_.get(), 1));
  thread_.join();
}

Result<FdWatcher::Watch> FdWatcher::watch_once(int fd, std::function<void()> callback) {
  // Locked until the entry is complete, as the descriptor may be readable at once.
  const MutexLock lock{mutex_};
  const std::uint64_t id = next_id_++;
  entries_.emplace(id, Entry{fd, std::move(callback)});
  if (add_to_epoll(epoll_.get(), fd, id) != 0) {
    const int error = errno;
    entries_.erase(id);
    return fail_errno(error, "watcher", "cannot wait for a file descriptor");
  }
  return Watch{this, id};
}

FdWatcher::Watch FdWatcher::watch_every_second(std::function<void()> callback) {
  const MutexLock lock{mutex_};
  const std::uint64_t id = next_id_++;
  if (every_second_.empty()) {
    start_timer(true);
  }
  every_second_.emplace(id, std::make_shared<const std::function<void()>>(std::move(callback)));
  return Watch{this, id};
}

void FdWatcher::start_timer(bool on) {
  itimerspec time{};
  time.it_interval.tv_sec = time.it_value.tv_sec = on ? 1 : 0;
  // Cannot fail: the arguments are valid.
  static_cast<void>(::timerfd_settime(timer_.get(), 0, &time, nullptr));
}

void FdWatcher::run(const std::stop_token& stop) {
  std::array<epoll_event, 16> events{};
  while (!stop.stop_requested()) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count && !stop.stop_requested(); ++i) {
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      if (id == kTimerId) {
        fire_every_second();
      } else {
        fire(id);
      }
    }
  }
}

void FdWatcher::fire(std::uint64_t id) {
  ReleasableMutexLock lock{mutex_};
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return; // ended after epoll_wait returned
  }
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  std::function<void()> callback = std::move(found->second.callback);
  entries_.erase(found);
  running_id_ = id;
  lock.unlock();
  callback();
  callback = nullptr; // unlocked, as destructors of its captures may call this object
  lock.lock();
  running_id_ = 0;
  callback_ended_.notify_all();
}

void FdWatcher::fire_every_second() {
  std::uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) < 0) {
    return; // switched off meanwhile
  }
  ReleasableMutexLock lock{mutex_};
  for (auto entry = every_second_.begin(); entry != every_second_.end();
       entry = every_second_.upper_bound(running_id_)) {
    running_id_ = entry->first;
    {
      const auto callback = entry->second;
      lock.unlock();
      (*callback)();
    } // unlocked, as destructors of its captures may call this object
    lock.lock();
    callback_ended_.notify_all();
  }
  running_id_ = 0;
  callback_ended_.notify_all();
}

void FdWatcher::remove(std::uint64_t id) {
  // Destroyed after the lock is released: destructors of its captures may call this object.
  std::map<std::uint64_t, Entry>::node_type removed;
  decltype(every_second_)::node_type removed_every_second;
  const MutexLock lock{mutex_};
  if (const auto found = entries_.find(id); found != entries_.end()) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
    removed = entries_.extract(found);
  } else {
    removed_every_second = every_second_.extract(id);
    if (removed_every_second && every_second_.empty()) {
      start_timer(false);
    }
  }
  if (std::this_thread::get_id() != thread_.get_id()) {
    callback_ended_.wait(mutex_, [this, id]() REQUIRES(mutex_) { return running_id_ != id; });
  }
}

FdWatcher::Watch::Watch(Watch&& other) noexcept
    : watcher_{std::exchange(other.watcher_, nullptr)}, id_{std::exchange(other.id_, 0)} {}

FdWatcher::Watch& FdWatcher::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    end();
    watcher_ = std::exchange(other.watcher_, nullptr);
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

void FdWatcher::Watch::end() {
  if (FdWatcher* const watcher = std::exchange(watcher_, nullptr); watcher != nullptr) {
    watcher->remove(id_);
  }
}

} // namespace vmemfs
