// SPDX-License-Identifier: MIT
#include "drivers/kvmi/link/session.h"

#include "core/text.h"
#include "drivers/kvmi/wire/bytes.h"
#include "util/log.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

/// PAUSE, without waiting for the vCPU: one that does not run would keep the reply back.
std::array<std::byte, 16> pause_head(std::uint16_t vcpu) {
  std::array<std::byte, 16> head{};
  store_le<std::uint16_t>(head, 0, vcpu);
  return head;
}
constexpr std::size_t kTreePauseSize = 16;
constexpr std::size_t kV12PauseSize = 8;

} // namespace

Session::Session(UniqueFd socket, Greeting greeting, std::chrono::milliseconds timeout,
                 std::function<void()> changed)
    : greeting_{std::move(greeting)}, timeout_{timeout}, changed_{std::move(changed)},
      connection_{
          std::move(socket),
          timeout,
          {.is_event =
               [this](std::uint16_t id) { return known_ ? is_event(dialect_, id) : id <= kVcpuEvent; },
           .event = [this](const Message& message) { return take_event(message); },
           .ended = [this] { ended_now(); }}} {}

Result<Facts> Session::prepare() {
  const MutexLock lock{prepare_lock_};
  if (!known_) {
    const auto dialect = find_dialect(connection_);
    if (!dialect) {
      return tl::unexpected{dialect.error()};
    }
    dialect_ = *dialect;
    known_ = true;
    const auto commands = ask_optional_commands(connection_, *dialect);
    if (!commands) {
      return tl::unexpected{commands.error()};
    }
    has_query_ = commands->query_physical;
    has_map_token_ = commands->map_token;
    if (const auto enabled = enable_unhook_event(connection_, *dialect); !enabled) {
      return tl::unexpected{enabled.error()};
    }
  }
  auto facts = ask_facts(connection_, dialect_, greeting_);
  if (facts) {
    vcpus_ = facts->vcpus;
  }
  return facts;
}

Result<void> Session::take_event(const Message& message) {
  if (!known_) {
    return fail(ErrorKind::source_failed, kOrigin, "the VM sent an event before it was asked for one");
  }
  const auto event = parse_event(dialect_, message);
  if (!event) {
    return tl::unexpected{event.error()};
  }
  if (event->kind == EventKind::unhook) {
    // The guest is as before when the connection ends: nothing else is changed by it.
    return fail(ErrorKind::source_failed, kOrigin, "QEMU asked vmemfs to leave the VM");
  }
  const auto taken = event->kind == EventKind::pause ? pauses_.take(*event) : Pauses::Taken::not_ours;
  if (taken == Pauses::Taken::kept) {
    return {};
  }
  if (taken == Pauses::Taken::not_ours) {
    if (const auto now = Connection::Clock::now(); now - unasked_since_ >= std::chrono::seconds{1}) {
      unasked_since_ = now;
      unasked_ = 0;
    }
    if (++unasked_ > kMaxUnasked) {
      return fail(ErrorKind::source_failed, kOrigin,
                  fmt::format("the VM sent more than {} events in a second that vmemfs did not ask for",
                              kMaxUnasked));
    }
  }
  return event->has_reply ? answer(*event) : Result<void>{};
}

Result<void> Session::answer(const Event& event) {
  return connection_.send_alone(continue_reply(dialect_, event).message());
}

void Session::ended_now() {
  paused_ = false;
  pauses_.end();
  changed_();
}

Result<void> Session::pause() {
  if (!operations_.try_lock_until(deadline())) {
    return fail(ErrorKind::busy, kOrigin,
                "cannot pause: another pause or resume of the VM takes long; try again");
  }
  const MutexLock lock{operations_, std::adopt_lock};
  if (paused_) {
    return {};
  }
  pauses_.begin();
  auto done = pause_all();
  if (!done) {
    if (const auto released = release(); !released) {
      log::debug("kvmi {}: resuming after a pause that failed: {}", printable(greeting_.name),
                 released.error().message());
    }
    return done;
  }
  paused_ = true;
  if (ended()) { // which also cleared it, perhaps before
    paused_ = false;
  }
  return done;
}

Result<void> Session::pause_all() {
  const std::uint32_t vcpus = vcpus_;
  if (auto sent = send_pauses(pauses_.expect(vcpus)); !sent) {
    return sent;
  }
  if (pauses_.wait_all(vcpus, deadline())) {
    return {};
  }
  if (ended()) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("cannot pause: the connection of the VM has ended: {}", connection_.reason()));
  }
  if (WorkLimit::over()) {
    return WorkLimit::exceeded(kOrigin);
  }
  return fail(
      ErrorKind::timed_out, kOrigin,
      fmt::format("cannot pause: vCPU {} did not stop within {} ms; QEMU may have stopped the VM itself",
                  pauses_.running(vcpus).value_or(0), timeout_.count()));
}

Result<void> Session::send_pauses(std::span<const std::uint16_t> vcpus) {
  const std::size_t size = dialect_ == Dialect::tree ? kTreePauseSize : kV12PauseSize;
  std::vector<std::array<std::byte, kTreePauseSize>> heads(vcpus.size());
  std::vector<Request> requests(vcpus.size());
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    heads[i] = pause_head(vcpus[i]);
    requests[i].id = numbers().pause;
    requests[i].head = std::span{heads[i]}.first(size);
  }
  auto done = connection_.exchange(requests);
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    if (requests[i].complete && requests[i].status != 0) {
      pauses_.not_expected(vcpus[i]);
      if (done) {
        done = tl::unexpected{refused(fmt::format("pause vCPU {}", vcpus[i]), requests[i].status)};
      }
    }
  }
  return done;
}

Result<void> Session::resume() {
  if (!operations_.try_lock_until(deadline())) {
    return fail(ErrorKind::busy, kOrigin,
                "cannot resume: another pause or resume of the VM takes long; try again");
  }
  const MutexLock lock{operations_, std::adopt_lock};
  paused_ = false;
  return release();
}

/// Events that are still to come are answered by the receiving thread. They are waited for, so that a pause
/// afterwards does not count them; but a vCPU that QEMU keeps stopped sends none.
Result<void> Session::release() {
  Result<void> done;
  for (const Event& event : pauses_.release()) {
    if (auto answered = answer(event); !answered) {
      done = answered;
    }
  }
  if (done && !ended()) {
    static_cast<void>(
        pauses_.wait_none(std::min(deadline(), Connection::Clock::now() + std::chrono::seconds{1})));
  }
  if (!done) {
    connection_.close("a vCPU could not be resumed"); // which resumes it
  }
  return done;
}

Result<void> Session::pause_new_vcpus() {
  if (!operations_.try_lock_until(deadline())) {
    return fail(ErrorKind::busy, kOrigin,
                "cannot pause new vCPUs: another pause or resume of the VM takes long");
  }
  const MutexLock lock{operations_, std::adopt_lock};
  return paused_ ? pause_all() : Result<void>{};
}

} // namespace vmemfs::kvmi
