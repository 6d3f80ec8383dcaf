// SPDX-License-Identifier: MIT
#include "drivers/kvmi/hub/guest_link.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {

std::string GuestLink::key_of(const Greeting& greeting) {
  // A VM without a uuid has zeros, as have all others without one.
  return fmt::format("kvmi.{}.{}.{}", greeting.uuid, greeting.start_time, greeting.name);
}

std::shared_ptr<Session> GuestLink::session() const {
  const MutexLock lock{mutex_};
  return session_;
}

bool GuestLink::subscribe(Subscriber subscriber) {
  const MutexLock lock{subscriber_mutex_};
  if (subscriber_) {
    return false;
  }
  subscriber_ = std::move(subscriber);
  return true;
}

void GuestLink::unsubscribe() {
  const MutexLock lock{subscriber_mutex_};
  subscriber_ = nullptr;
}

void GuestLink::connected(std::shared_ptr<Session> session) { change(State::connected, std::move(session)); }
void GuestLink::lost() { change(State::lost, nullptr); }
void GuestLink::gone() { change(State::gone, nullptr); }

void GuestLink::change(State state, std::shared_ptr<Session> session) {
  {
    const MutexLock lock{mutex_};
    session_.swap(session); // the former one is destroyed after the lock is released
    state_ = state;
  }
  const MutexLock lock{subscriber_mutex_};
  if (subscriber_) {
    subscriber_(state);
  }
}

} // namespace vmemfs::kvmi
