// SPDX-License-Identifier: MIT
#include "drivers/vbox/guest/guest_control.h"

#include "core/text.h"
#include "drivers/vbox/guest/resume_ticket.h"
#include "util/log.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <string_view>
#include <thread>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
constexpr std::chrono::milliseconds kFirstSleep{1};
constexpr std::chrono::milliseconds kMaxSleep{20};

} // namespace

RunStatus GuestControl::status_of(const GuestState& state) const {
  if (!state.paused) {
    return {.running = true, .detail = "running"};
  }
  // The bits of a breakpoint may be old ones: a pause of ours remains ours.
  const bool by_command = paused_by_us_ || !state.at_breakpoint;
  return {.running = false,
          .detail = by_command ? "paused" : "stopped at a breakpoint of another client",
          .by_command = by_command};
}

/// Events come before anybody can see the new state.
Result<GuestState> GuestControl::state(Clock::time_point deadline) {
  auto now = link_.state(deadline);
  if (now && paused_.exchange(now->paused) != now->paused) {
    listener_.emit(now->paused ? VmEvent::paused : VmEvent::resumed);
  }
  if (now && !now->paused) {
    paused_by_us_ = false;
  }
  return now;
}

Result<GuestState> GuestControl::wait_for(bool paused) {
  const auto end = deadline();
  for (auto sleep = kFirstSleep;;) {
    auto now = state(deadline());
    if (!now || now->paused == paused) {
      return now;
    }
    if (Clock::now() >= end) {
      return fail(ErrorKind::timed_out, kOrigin,
                  fmt::format("VirtualBox took the command, but the guest still {} after {} ms",
                              paused ? "runs" : "is paused", link_.timeout().count()));
    }
    std::this_thread::sleep_for(sleep);
    sleep = std::min(2 * sleep, kMaxSleep);
  }
}

Result<RunStatus> GuestControl::run_status() {
  return state(deadline()).map([this](const GuestState& now) { return status_of(now); });
}

Result<RunStatus> GuestControl::pause() {
  auto now = state(deadline());
  if (now && !now->paused) {
    const auto sent = link_.command(simple_request(Opcode::pause, 1), "pause the guest", deadline());
    if (!sent) {
      return tl::unexpected{sent.error()};
    }
    now = wait_for(true);
    paused_by_us_ = now && now->paused;
  }
  return now.map([this](const GuestState& state) { return status_of(state); });
}

Result<RunStatus> GuestControl::resume() {
  auto now = state(deadline());
  if (now && now->paused) {
    const auto sent = link_.command(simple_request(Opcode::resume, 1), "resume the guest", deadline());
    if (!sent) {
      return tl::unexpected{sent.error()};
    }
    now = wait_for(false);
  }
  return now.map([this](const GuestState& state) { return status_of(state); });
}

Result<void> GuestControl::require_paused(Clock::time_point deadline) {
  const auto now = state(deadline);
  if (!now) {
    return tl::unexpected{now.error()};
  }
  return now->paused ? Result<void>{}
                     : fail(ErrorKind::busy, kOrigin,
                            "the guest runs, and VirtualBox has only the registers of its last stop; write "
                            "pause to control first");
}

std::string GuestControl::resume_ticket() const {
  const SharedObject& object = link_.object();
  return to_text({object.name(), object.id(), link_.timeout()});
}

void GuestControl::poll() {
  if (const auto now = state(deadline()); !now && !link_.ended()) {
    log::debug("vbox: {}: {}", printable(link_.object().name()), now.error().text);
  }
}

} // namespace vmemfs::vbox
