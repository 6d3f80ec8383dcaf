// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/gdb_session.h"

#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "drivers/gdbstub/link/server_clients.h"
#include "drivers/gdbstub/session/memory_reader.h"
#include "drivers/gdbstub/session/resume_ticket.h"
#include "util/log.h"
#include "util/mutex.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOrigin = "gdbstub";
/// Of one batch of pieces, however slow the server is.
constexpr std::chrono::seconds kMaxRead{20};
/// Of one list of registers or threads, in replies that take as long as one may.
constexpr int kMaxLateReplies = 4;
/// Requests of other threads may take that long.
constexpr std::chrono::seconds kMaxWait{30};
/// A server that refuses to resume its target says so within that time.
constexpr std::chrono::milliseconds kRefusalWait{50};
/// Of each reply to a connection that is made again to detach.
constexpr std::chrono::milliseconds kMaxReconnect{2000};

tl::unexpected<Error> gone_error() {
  return fail(ErrorKind::vm_gone, kOrigin, "the connection to the server has ended");
}

/// Whether a stop is one that somebody asked for: SIGINT, or none. Else it is a breakpoint or a fault.
bool is_by_command(std::string_view report) {
  const bool is_stop =
      report.starts_with('T') || report.starts_with('S'); // else the server did not resume it
  const auto signal = parse_hex(report.substr(1, 2));
  return is_stop && (signal == 0U || signal == 2U);
}

bool has_ended(std::string_view report) { return report.starts_with('W') || report.starts_with('X'); }

std::string resume_request(const ServerFacts& facts) { return facts.steps_threads ? "vCont;c" : "c"; }

/// The target runs when it has returned. Servers that know processes refuse D without one, and others may
/// refuse D with one, so both forms are tried; the last resort is to resume it.
Result<void> detach_from(ServerLink& link, const ServerFacts& facts) {
  const bool plain_first = facts.process.empty();
  std::array<std::string, 2> forms{"D", fmt::format("D;{}", plain_first ? "1" : facts.process)};
  if (!plain_first) {
    forms[0].swap(forms[1]);
  }
  std::string refusal;
  for (const std::string& form : forms) {
    auto reply = link.ask(form);
    if (!reply) {
      return tl::unexpected{std::move(reply.error())};
    }
    if (*reply == "OK") {
      return {};
    }
    refusal = std::move(*reply);
  }
  if (auto sent = link.command(resume_request(facts)); !sent) {
    return sent;
  }
  std::this_thread::sleep_for(kRefusalWait);
  const auto refused = link.poll_stop();
  if (!refused) {
    return tl::unexpected{refused.error()};
  }
  return *refused ? fail(ErrorKind::source_failed, kOrigin,
                         fmt::format("the server answered '{}'", printable(refusal)))
                  : Result<void>{};
}

bool leaves_it_running(Leave leave, std::optional<bool> found_running) {
  return leave == Leave::running || (leave == Leave::as_found && found_running.value_or(true));
}

} // namespace

GdbSession::GdbSession(const SessionOptions& options, ServerLink link, ServerFacts facts)
    : options_{options}, facts_{std::move(facts)}, link_{std::move(link)}, stop_report_{facts_.stop_report},
      leaves_running_{leaves_it_running(options.leave, facts_.found_running)},
      stopped_by_connecting_{facts_.found_running.value_or(true)} {}

Result<std::unique_ptr<GdbSession>> GdbSession::open(const SessionOptions& options) {
  const auto deadline = Clock::now() + options.timeout;
  auto socket = wait_until_free(options.address, deadline).and_then([&] {
    return connect_to(options.address, deadline);
  });
  if (!socket) {
    return tl::unexpected{std::move(socket.error())};
  }
  ServerLink link{std::move(*socket), options.timeout};
  std::optional<bool> ran;
  auto facts = greet(link, ran);
  if (!facts) {
    if (leaves_it_running(options.leave, ran)) {
      link.leave_behind("c");
    }
    return tl::unexpected{std::move(facts.error())};
  }
  return std::unique_ptr<GdbSession>{new GdbSession{options, std::move(link), std::move(*facts)}};
}

Result<void> GdbSession::resume_target(const ServerAddress& address, std::chrono::milliseconds timeout) {
  const auto session =
      open({.address = address, .timeout = timeout, .leave = Leave::running, .reconnects = false});
  if (session) {
    return (*session)->detach();
  }
  const bool has_ended =
      session.error().kind == ErrorKind::not_found || session.error().kind == ErrorKind::vm_gone;
  return has_ended ? Result<void>{} : tl::unexpected{session.error()};
}

GdbSession::~GdbSession() {
  listener_.set(nullptr);
  if (const auto detached = detach(); !detached) {
    log::warning("{}", detached.error().message());
  }
}

Result<void> GdbSession::detach() {
  const MutexLock lock{lock_};
  if (std::exchange(detached_, true)) {
    return {};
  }
  auto left = leave();
  gone_ = true;
  link_.close();
  if (!left) {
    left.error().text = fmt::format("cannot detach from {}, and the target may stay stopped: {}; have its "
                                    "monitor resume it, or attach and detach with GDB",
                                    to_string(options_.address), left.error().text);
  }
  return left;
}

template <typename Use> auto GdbSession::with_link(Use&& use) -> decltype(use()) {
  const TimedLock::Owner lock{lock_, Clock::now() + kMaxWait};
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("other requests have used the server's connection for {} s; try again",
                            kMaxWait.count()));
  }
  lock_.assert_held();
  if (gone_) {
    return gone_error();
  }
  auto result = take_reports().and_then([&]() REQUIRES(lock_) { return use(); });
  if (const auto ran = take_stop_by_request(); ran.value_or(false) && !running_ && !gone_) {
    static_cast<void>(send_resume()); // an error breaks the link
  }
  check_link();
  return result;
}

void GdbSession::end(const std::string& why) {
  if (!gone_.exchange(true)) {
    log::warning("gdbstub: {}: {}", to_string(options_.address), why);
    listener_.emit(VmEvent::gone);
  }
}

/// After each use: what came with the replies, and whether more can be asked.
void GdbSession::check_link() {
  static_cast<void>(take_reports()); // an error breaks the link
  if (link_.broken()) {
    end(fmt::format("the connection has ended: {}", link_.why_broken()));
  }
}

void GdbSession::stopped(const std::string& report, bool by_command) {
  stop_report_ = report;
  if (has_ended(report)) {
    end("the target has ended");
    return;
  }
  stopped_by_command_ = by_command;
  stopped_by_connecting_ = false;
  if (by_command) { // somebody else has paused it
    leaves_running_ = false;
  }
  const bool ran = std::exchange(running_, false);
  listener_.emit(ran ? VmEvent::paused : VmEvent::state_unclear);
}

Result<void> GdbSession::take_reports() {
  return link_.poll_stop().map([this](const std::optional<std::string>& report) REQUIRES(lock_) {
    if (report) {
      stopped(*report, is_by_command(*report));
    }
  });
}

/// Whether a request since the last call has stopped the target, which somebody else had resumed then.
Result<bool> GdbSession::take_stop_by_request() {
  if (std::exchange(lost_requests_, link_.lost_requests()) == link_.lost_requests()) {
    return false;
  }
  return link_.poll_stop().map([this](const std::optional<std::string>& report) REQUIRES(lock_) {
    stop_report_ = report.value_or(stop_report_);
    stopped_by_command_ = true;
    stopped_by_connecting_ = false;
    leaves_running_ = true;
    listener_.emit(VmEvent::state_unclear);
    return true;
  });
}

/// A QEMU whose guest somebody else has resumed does not report that: a request stops it, and shows it.
Result<bool> GdbSession::find_out_whether_it_ran() {
  if (!link_.manners().loses_request_when_stopped) {
    return false;
  }
  return link_.ask("qC").and_then([&](const std::string&) REQUIRES(lock_) { return take_stop_by_request(); });
}

Result<void> GdbSession::send_resume() {
  return set_physical(false)
      .and_then([&]() REQUIRES(lock_) { return take_stop_by_request(); })
      .and_then([&](bool) REQUIRES(lock_) { return link_.command(resume_request(facts_)); })
      .map([&]() REQUIRES(lock_) {
        running_ = true;
        leaves_running_ = true;
        stopped_by_connecting_ = false;
        listener_.emit(VmEvent::resumed);
      });
}

void GdbSession::poll() {
  const TimedLock::Owner lock{lock_, Clock::time_point::min()};
  if (!lock.owns_lock() || gone_) {
    return; // who has it takes the reports, too
  }
  lock_.assert_held();
  check_link();
}

/// Of many requests together: others wait for the link meanwhile.
std::chrono::milliseconds GdbSession::max_time() const { return kMaxLateReplies * options_.timeout; }

Result<void> GdbSession::require_stopped() const {
  if (!running_) {
    return {};
  }
  return fail(ErrorKind::busy, kOrigin,
              "the target runs, and a server answers only while it is stopped; write pause to control first");
}

/// QEMU's switch between virtual and guest physical addresses.
Result<void> GdbSession::set_physical(bool on) {
  if (!facts_.physical || physical_on_ == on) {
    return {};
  }
  const auto reply = link_.ask(on ? "Qqemu.PhyMemMode:1" : "Qqemu.PhyMemMode:0");
  if (!reply) {
    return tl::unexpected{reply.error()};
  }
  if (*reply != "OK") {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU did not switch its addresses: '{}'", printable(*reply)));
  }
  physical_on_ = on;
  return {};
}

Result<void> GdbSession::carry_out(ReadSource& source, const MemoryMap& map) {
  const WorkLimit limit{Clock::now() + kMaxRead};
  return with_link([&]() REQUIRES(lock_) {
    return require_stopped()
        .and_then([&]() REQUIRES(lock_) { return set_physical(true); })
        .map([&]() REQUIRES(lock_) {
          read_memory(link_, {facts_.read_bytes, facts_.binary_reads}, map, source);
        });
  });
}

void GdbSession::read(std::span<ReadPiece> pieces, const MemoryMap& map) {
  const auto carry = [&](ReadSource& source) { return carry_out(source, map); };
  SingleRead alone{pieces};
  const Result<void> done =
      WorkLimit::in_force() ? carry(alone) : reads_.read(pieces, Clock::now() + kMaxWait, carry);
  if (!done) {
    fail_pieces(pieces, done.error().kind);
    // A reader only gets an errno.
    if (!gone_ && refused_reads_.allows()) {
      log::warning("gdbstub: {}: cannot read memory: {}", to_string(options_.address), done.error().text);
    }
  }
  if (gone_) { // some may be of what was there before
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

Result<RegisterSet> GdbSession::registers_of(const std::string& thread, const RegisterPlan& plan) {
  const auto chosen = link_.ask("Hg" + thread);
  if (!chosen) {
    return tl::unexpected{chosen.error()};
  }
  if (*chosen != "OK") {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("the server has no thread {}", printable(thread)));
  }
  const auto all = link_.ask("g"); // asked in any case: makes QEMU fetch them from KVM
  if (!all) {
    return tl::unexpected{all.error()};
  }
  const std::string_view text = is_error_reply(*all) ? std::string_view{} : std::string_view{*all};
  RegisterSet registers{*plan.layout};
  std::vector<std::string> requests;
  std::vector<const PlannedRegister*> single;
  for (const PlannedRegister& planned : plan.registers) {
    if (planned.offset + planned.digits <= text.size()) {
      take_register(registers, planned, text.substr(planned.offset, planned.digits));
    } else {
      requests.push_back(fmt::format("p{:x}", planned.number));
      single.push_back(&planned);
    }
  }
  return link_
      .ask_all(requests,
               [&](std::size_t index, std::string_view reply) {
                 const auto digits = expand_gdb_payload(reply, ServerLink::kMaxPacket);
                 take_register(registers, *single[index], digits.value_or(""));
               })
      .map([&] { return registers; });
}

Result<std::vector<RegisterSet>> GdbSession::read_registers(std::span<const std::string> threads,
                                                            const RegisterPlan& plan) {
  const WorkLimit limit{Clock::now() + max_time()};
  return with_link([&]() REQUIRES(lock_) -> Result<std::vector<RegisterSet>> {
    if (auto stopped = require_stopped(); !stopped) {
      return tl::unexpected{std::move(stopped.error())};
    }
    std::vector<RegisterSet> sets;
    for (const std::string& thread : threads) {
      auto set = registers_of(thread, plan);
      if (!set) {
        return tl::unexpected{std::move(set.error())};
      }
      if (set->empty()) {
        return fail(ErrorKind::source_failed, kOrigin, "the server gave no registers of this vCPU");
      }
      sets.push_back(*set);
    }
    return sets;
  });
}

Result<std::vector<ServerThread>> GdbSession::threads() {
  const WorkLimit limit{Clock::now() + max_time()};
  return with_link([&]() REQUIRES(lock_) {
    return require_stopped().and_then([&]() REQUIRES(lock_) { return list_threads(link_, facts_.physical); });
  });
}

RunStatus GdbSession::status() const {
  if (running_) {
    return {true, "running"};
  }
  return {.running = false,
          .detail = fmt::format("stopped ({})", printable(stop_report_.substr(0, 3))),
          .by_command = stopped_by_command_,
          .by_driver = stopped_by_connecting_,
          .uncertain = link_.manners().loses_request_when_stopped};
}

Result<RunStatus> GdbSession::run_status() {
  return with_link([&]() REQUIRES(lock_) { return Result<RunStatus>{status()}; });
}

Result<RunStatus> GdbSession::pause() {
  return with_link([&]() REQUIRES(lock_) -> Result<RunStatus> {
    if (!running_) {
      return find_out_whether_it_ran().map([&](bool ran) REQUIRES(lock_) {
        leaves_running_ = false;
        stopped_by_connecting_ = false;
        RunStatus now = status();
        now.ran = ran;
        return now;
      });
    }
    const auto report = link_.interrupt().and_then([&]() REQUIRES(lock_) { return link_.wait_for_stop(); });
    if (!report) {
      return tl::unexpected{report.error()};
    }
    if (!*report) {
      return fail(ErrorKind::timed_out, kOrigin,
                  fmt::format("the server did not stop its target within {} ms; it may still do so",
                              options_.timeout.count()));
    }
    stopped(**report, true);
    return gone_ ? Result<RunStatus>{gone_error()} : Result<RunStatus>{status()};
  });
}

Result<RunStatus> GdbSession::resume() {
  return with_link([&]() REQUIRES(lock_) -> Result<RunStatus> {
    if (running_) {
      return status();
    }
    return find_out_whether_it_ran()
        .and_then([&](bool) REQUIRES(lock_) { return send_resume(); })
        .map([&]() REQUIRES(lock_) { return status(); });
  });
}

/// None while the user wants the stop by connecting kept.
std::string GdbSession::resume_ticket() const {
  if (stopped_by_connecting_ && !leaves_running_) {
    return {};
  }
  return to_text({.address = to_string(options_.address), .timeout = options_.timeout});
}

/// A target that runs goes on when the connection ends, without D. One that is stopped stays so, even if the
/// connection has ended by itself.
Result<void> GdbSession::leave() {
  auto left = take_reports();
  if (running_ || has_ended(stop_report_)) {
    return {};
  }
  left = left.and_then([&]() REQUIRES(lock_) { return set_physical(false); })
             .and_then([&]() REQUIRES(lock_) { return take_stop_by_request(); })
             .and_then([&](bool) REQUIRES(lock_) { return take_reports(); });
  if (left && leaves_running_ && !has_ended(stop_report_)) {
    left = detach_from(link_, facts_);
  }
  if (!left && link_.broken() && !leaves_running_) {
    return {};
  }
  if (!left && link_.broken() && options_.reconnects) {
    link_.close(); // a server takes one client
    left = resume_target(options_.address, std::min(options_.timeout, kMaxReconnect));
  }
  return left;
}

} // namespace vmemfs::gdbstub
