#include "drivers/libvirt/limited_calls.h"

#include "drivers/libvirt/handles.h"
#include "util/signals.h"

#include <exception>
#include <fmt/format.h>
#include <system_error>
#include <thread>

namespace vmemfs::libvirt {

using Clock = std::chrono::steady_clock;

bool CallPlaces::take(Clock::time_point deadline, bool second) {
  std::unique_lock lock{mutex_};
  const bool free = changed_.wait_until(
      lock, deadline, [this, most = second ? kPlaces / 2 : kPlaces] { return taken_ < most; });
  taken_ += free ? 1 : 0;
  return free;
}

void CallPlaces::give_back() {
  {
    const std::scoped_lock lock{mutex_};
    --taken_;
  }
  changed_.notify_all();
}

tl::unexpected<Error> LimitedCalls::no_answer() const {
  return fail(
      ErrorKind::timed_out, kOrigin,
      fmt::format("{} does not answer: libvirt has been waiting for its QEMU for more than {} s; does "
                  "that hang? `virsh domcontrol` at its host says more",
                  whose_, limit_ / std::chrono::seconds{1}));
}

/// A place, of this domain's and of the connection's.
Result<void> LimitedCalls::wait_for_turn() {
  const auto deadline = Clock::now() + limit_;
  const auto too_many = [this] {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("{}: too many calls wait for libvirt, or for other domains of its host that hang",
                            whose_));
  };
  bool second = false;
  {
    std::unique_lock lock{state_->mutex};
    const bool free = state_->changed.wait_until(
        lock, deadline, [this] { return state_->given_up > 0 || state_->under_way < kAtOnce; });
    if (state_->given_up > 0) {
      return no_answer();
    }
    if (!free) {
      return too_many();
    }
    second = ++state_->under_way > 1;
  }
  if (places_->take(deadline, second)) {
    return {};
  }
  const std::scoped_lock lock{state_->mutex};
  --state_->under_way;
  state_->changed.notify_all();
  return too_many();
}

Result<void> LimitedCalls::run(std::function<void()> call) {
  if (auto turn = wait_for_turn(); !turn) {
    return turn;
  }
  struct Mine {
    bool done = false;
    bool given_up = false;
    bool failed = false;
  };
  const auto mine = std::make_shared<Mine>();
  const auto end = [state = state_, places = places_, mine](bool failed) {
    places->give_back();
    const std::scoped_lock lock{state->mutex};
    mine->done = true;
    mine->failed = failed;
    --state->under_way;
    state->given_up -= mine->given_up ? 1 : 0;
    state->changed.notify_all();
  };
  try {
    const SignalsBlocked blocked;
    std::thread{[end, call = std::move(call)]() mutable {
      bool failed = false;
      try {
        call();
      } catch (const std::exception&) { // there was no memory
        failed = true;
      }
      call = nullptr; // what it owns ends before it counts as done
      end(failed);
    }}.detach();
  } catch (const std::system_error& error) {
    end(true);
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("no thread to be had: {}", error.what()));
  }
  std::unique_lock lock{state_->mutex};
  if (!state_->changed.wait_for(lock, limit_, [&] { return mine->done; })) {
    mine->given_up = true;
    ++state_->given_up;
    state_->changed.notify_all();
    return no_answer();
  }
  if (mine->failed) {
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("{}: out of memory for a call", whose_));
  }
  return {};
}

} // namespace vmemfs::libvirt
