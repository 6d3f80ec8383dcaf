#include "drivers/libvirt/limited_calls.h"

#include "drivers/libvirt/handles.h"
#include "util/signals.h"

#include <fmt/format.h>
#include <system_error>
#include <thread>

namespace vmemfs::libvirt {

tl::unexpected<Error> LimitedCalls::no_answer() const {
  return fail(
      ErrorKind::timed_out, kOrigin,
      fmt::format("{} does not answer: libvirt has been waiting for its QEMU for more than {} s; does "
                  "that hang? `virsh domstate`, or `virsh domcontrol`, at its host",
                  whose_, limit_ / std::chrono::seconds{1}));
}

Result<void> LimitedCalls::run(std::function<void()> call) {
  struct Mine {
    bool done = false;
    bool given_up = false;
  };
  const auto deadline = std::chrono::steady_clock::now() + limit_;
  const auto mine = std::make_shared<Mine>();
  std::unique_lock lock{state_->mutex};
  const bool free = state_->changed.wait_until(
      lock, deadline, [this] { return state_->given_up > 0 || state_->under_way < kAtOnce; });
  if (!free || state_->given_up > 0) {
    return no_answer();
  }
  try {
    const SignalsBlocked blocked;
    std::thread{[state = state_, mine, call = std::move(call)]() mutable {
      call();
      call = nullptr; // what it owns ends before it counts as done
      const std::scoped_lock one{state->mutex};
      mine->done = true;
      --state->under_way;
      state->given_up -= mine->given_up ? 1 : 0;
      state->changed.notify_all();
    }}.detach();
  } catch (const std::system_error& error) {
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("no thread to be had: {}", error.what()));
  }
  ++state_->under_way;
  if (!state_->changed.wait_until(lock, deadline, [&] { return mine->done; })) {
    mine->given_up = true;
    ++state_->given_up;
    state_->changed.notify_all();
    return no_answer();
  }
  return {};
}

} // namespace vmemfs::libvirt
