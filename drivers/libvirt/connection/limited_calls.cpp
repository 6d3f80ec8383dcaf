// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/limited_calls.h"

#include "drivers/libvirt/connection/handles.h"
#include "util/limited_wait.h"
#include "util/signals.h"

#include <exception>
#include <fmt/format.h>
#include <system_error>
#include <thread>

namespace vmemfs::libvirt {

using Clock = std::chrono::steady_clock;

bool CallSlots::take(Clock::time_point deadline, bool second) {
  const MutexLock lock{mutex_};
  const bool free = wait_within_limit(changed_, mutex_, deadline,
                                      [this, max_slots = second ? kSlots / 2 : kSlots]()
                                          REQUIRES(mutex_) { return used_ < max_slots; });
  used_ += free ? 1 : 0;
  return free;
}

void CallSlots::release() {
  {
    const MutexLock lock{mutex_};
    --used_;
  }
  changed_.notify_all();
}

tl::unexpected<Error> LimitedCalls::no_answer() const {
  return fail(ErrorKind::timed_out, kOrigin,
              fmt::format("{} does not answer: a call was given up, and libvirt still waits for its QEMU; "
                          "check with `virsh domcontrol` on its host whether QEMU hangs",
                          domain_));
}

/// Waits for a slot of this domain and one of the connection.
Result<void> LimitedCalls::wait_for_slot() {
  const auto deadline = Clock::now() + limit_;
  const auto too_many = [this]() -> tl::unexpected<Error> {
    return WorkLimit::over() ? WorkLimit::exceeded(kOrigin)
                             : fail(ErrorKind::busy, kOrigin,
                                    fmt::format("{}: too many calls are waiting for libvirt or for other "
                                                "domains of its host that do not answer",
                                                domain_));
  };
  bool second = false;
  {
    const MutexLock lock{state_->mutex};
    const bool free =
        wait_within_limit(state_->changed, state_->mutex, deadline, [this]() REQUIRES(state_->mutex) {
          return state_->given_up > 0 || state_->running < kAtOnce;
        });
    if (state_->given_up > 0) {
      return no_answer();
    }
    if (!free) {
      return too_many();
    }
    second = ++state_->running > 1;
  }
  if (slots_->take(deadline, second)) {
    return {};
  }
  const MutexLock lock{state_->mutex};
  --state_->running;
  state_->changed.notify_all();
  return too_many();
}

Result<void> LimitedCalls::run(std::function<void()> call) {
  if (WorkLimit::over()) {
    return WorkLimit::exceeded(kOrigin);
  }
  if (auto admitted = wait_for_slot(); !admitted) {
    return admitted;
  }
  struct Mine { // guarded by State::mutex
    bool done = false;
    bool given_up = false;
    bool failed = false;
  };
  const auto deadline = Clock::now() + limit_;
  const auto mine = std::make_shared<Mine>();
  const auto end = [state = state_, slots = slots_, mine](bool failed) {
    slots->release();
    const MutexLock lock{state->mutex};
    mine->done = true;
    mine->failed = failed;
    --state->running;
    state->given_up -= mine->given_up ? 1 : 0;
    state->changed.notify_all();
  };
  try {
    const SignalsBlocked blocked;
    std::thread{[end, call = std::move(call)]() mutable {
      bool failed = false;
      try {
        call();
      } catch (const std::exception&) { // out of memory
        failed = true;
      }
      call = nullptr; // what it owns ends before the call counts as done
      end(failed);
    }}.detach();
  } catch (const std::system_error& error) {
    end(true);
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("cannot create a thread: {}", error.what()));
  }
  const MutexLock lock{state_->mutex};
  if (!wait_within_limit(state_->changed, state_->mutex, deadline,
                         [&]() REQUIRES(state_->mutex) { return mine->done; })) {
    if (Clock::now() < deadline) { // the caller's time is over, which is no fault of the domain
      return WorkLimit::exceeded(kOrigin);
    }
    mine->given_up = true;
    ++state_->given_up;
    state_->changed.notify_all();
    return no_answer();
  }
  if (mine->failed) {
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("{}: out of memory for a call", domain_));
  }
  return {};
}

} // namespace vmemfs::libvirt
