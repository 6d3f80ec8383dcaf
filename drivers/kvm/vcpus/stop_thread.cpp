// SPDX-License-Identifier: MIT
#include "drivers/kvm/vcpus/stop_thread.h"

#include "util/signals.h"

#include <fmt/format.h>
#include <system_error>
#include <thread>
#include <utility>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kOrigin = "kvm";

/// Of the tries to find registers; below kLimit with what one try may take.
constexpr std::chrono::milliseconds kTries{500};
/// How often it is checked whether a stopped thread was killed: its process cannot end before.
constexpr std::chrono::milliseconds kBetweenChecks{50};

} // namespace

Result<std::unique_ptr<StopThread>> StopThread::run(Request request) {
  if (request.threads->load() >= kMaxThreads) {
    return fail(ErrorKind::busy, kOrigin, "earlier attempts to stop the vCPUs have not ended yet");
  }
  auto state = std::make_shared<State>();
  try {
    const SignalsBlocked blocked;
    std::thread{[state, request = std::move(request)] {
      ++*request.threads;
      stop_and_hold(*state, request);
      --*request.threads;
    }}.detach();
  } catch (const std::system_error& error) {
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("cannot create a thread: {}", error.what()));
  }
  std::unique_ptr<StopThread> self{new StopThread{state}};
  const MutexLock lock{state->mutex};
  const auto until = std::chrono::steady_clock::now() + kLimit;
  if (!state->changed.wait_until(state->mutex, until,
                                 [&]() REQUIRES(state->mutex) { return state->result.has_value(); })) {
    return fail(ErrorKind::timed_out, kOrigin,
                fmt::format("the vCPUs could not be stopped within {} s", kLimit.count()));
  }
  if (!*state->result) {
    return tl::unexpected{state->result->error()};
  }
  return self;
}

StopThread::~StopThread() {
  const MutexLock lock{state_->mutex};
  state_->resume = true;
  state_->changed.notify_all();
  if (!state_->result) { // it has taken longer than the limit, and may for ever
    return;
  }
  static_cast<void>(state_->changed.wait_until(state_->mutex, std::chrono::steady_clock::now() + kLimit,
                                               [this]() REQUIRES(state_->mutex) { return state_->ended; }));
}

bool StopThread::holds() const {
  const MutexLock lock{state_->mutex};
  return !state_->ended;
}

/// The thread.
void StopThread::stop_and_hold(State& state, const Request& request) {
  Result<void> result;
  {
    auto stop = VcpuStop::make(*request.space, request.vcpus, request.good, VcpuStop::Clock::now() + kTries);
    result = stop && request.use ? request.use(*stop)
             : stop              ? Result<void>{}
                                 : tl::unexpected{std::move(stop.error())};
    if (result && request.hold) {
      hold(state, *stop);
    }
  }
  const MutexLock lock{state.mutex};
  state.ended = true;
  if (!state.result) {
    state.result = std::move(result);
  }
  state.changed.notify_all();
}

void StopThread::hold(State& state, VcpuStop& stop) {
  const MutexLock lock{state.mutex};
  state.result = Result<void>{};
  state.changed.notify_all();
  while (!state.resume && !stop.any_ended()) {
    static_cast<void>(state.changed.wait_until(state.mutex, std::chrono::steady_clock::now() + kBetweenChecks,
                                               [&]() REQUIRES(state.mutex) { return state.resume; }));
  }
}

} // namespace vmemfs::kvm
