// SPDX-License-Identifier: MIT
#include "fs/guardian/guardian.h"

#include "host/child/spawned_process.h"
#include "util/fd_wait.h"
#include "util/log.h"
#include "util/unique_fd.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace vmemfs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::string_view kOrigin = "guardian";
constexpr milliseconds kStartLimit{
    20000}; ///< a start takes milliseconds, or seconds on an emulated machine with sanitizers
constexpr milliseconds kSendLimit{1000};
constexpr milliseconds kKillLimit{1000};
constexpr milliseconds kPartingLimit{200}; ///< for the end of a process without tickets
constexpr int kTries = 3;                  ///< a process that does not start may have been killed by chance

tl::unexpected<Error> no_guardian(const std::string& program, const Error& reason) {
  return fail(
      ErrorKind::source_failed, kOrigin,
      fmt::format(
          "cannot start the guardian, which resumes paused VMs if vmemfs is killed: {}; check that {} can be "
          "executed and that the limits on processes and open files (ulimit -u, ulimit -n) are not reached",
          reason.text, program));
}

} // namespace

/// A started guardian process. It is reaped if it ends during this object's lifetime.
class Guardian::Child {
public:
  static Result<std::unique_ptr<Child>> start(const std::string& program, std::uint64_t number) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
      return fail_errno(errno, kOrigin, "cannot create a socket");
    }
    UniqueFd ours{ends[0]};
    const UniqueFd theirs{ends[1]};
    const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    if (!null) {
      return fail_errno(errno, kOrigin, "cannot open /dev/null");
    }
    // With all signals blocked, so that none can end it before it ignores them.
    auto process = SpawnedProcess::start({.path = program,
                                          .arguments = {"vmemfs", std::string{kSubcommand}},
                                          .descriptors = {theirs.get(), null.get(), null.get()},
                                          .blocks_signals = true},
                                         kOrigin);
    if (!process) {
      return tl::unexpected{std::move(process.error())};
    }
    return std::make_unique<Child>(std::move(*process), std::move(ours), number);
  }

  Child(std::unique_ptr<SpawnedProcess> process, UniqueFd socket, std::uint64_t number)
      : process_{std::move(process)}, socket_{std::move(socket)}, number_{number} {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    watch_.end();
    socket_.reset();
  }

  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  Result<void> watch(FdWatcher& watcher, std::function<void()> on_end) {
    auto watch = watcher.watch_once(process_->pidfd(), std::move(on_end));
    if (!watch) {
      return tl::unexpected{watch.error()};
    }
    watch_ = std::move(*watch);
    return {};
  }

  Result<void> wait_until_ready() {
    std::array<pollfd, 2> entries{{{socket_.get(), POLLIN, 0}, {process_->pidfd(), POLLIN, 0}}};
    if (!poll_until(entries, Clock::now() + kStartLimit)) {
      return fail(ErrorKind::timed_out, kOrigin,
                  fmt::format("it was not ready within {} ms", kStartLimit.count()));
    }
    if (!was_ready()) {
      process_->wait_for_end(kKillLimit);
      return fail(ErrorKind::source_failed, kOrigin, how_it_ended());
    }
    return {};
  }

  /// True if the process has reported that it is ready. Does not wait.
  bool was_ready() {
    std::array<char, kGuardianReady.size() + 1> buffer{};
    // A pending error of the socket is reported once, before the messages that are still queued.
    for (int tries = 0; tries < 2 && !ready_; ++tries) {
      const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      ready_ = size > 0 && std::string_view{buffer.data(), static_cast<std::size_t>(size)} == kGuardianReady;
    }
    return ready_;
  }

  [[nodiscard]] Result<void> send(const std::string& text) const {
    const auto deadline = Clock::now() + kSendLimit;
    while (::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
      const int error = errno;
      std::array<pollfd, 1> entries{{{socket_.get(), POLLOUT, 0}}};
      if (error != EINTR && (error != EAGAIN || !poll_until(entries, deadline))) {
        return fail_errno(error, kOrigin, "it does not accept messages");
      }
    }
    return {};
  }

  void kill() const {
    process_->kill();
    process_->wait_for_end(kKillLimit);
  }

  void part() {
    watch_.end();
    socket_.reset();
    process_->wait_for_end(kPartingLimit);
  }

  /// Description of its end; valid after it has ended.
  [[nodiscard]] std::string how_it_ended() const {
    return process_->how_it_ended().value_or("it closed its socket");
  }

private:
  const std::unique_ptr<SpawnedProcess> process_;
  UniqueFd socket_;
  const std::uint64_t number_;
  bool ready_ = false;
  FdWatcher::Watch watch_;
};

Guardian::Guardian(FdWatcher& watcher, std::string program, Report killed)
    : watcher_{watcher}, program_{std::move(program)}, killed_{std::move(killed)} {}

Guardian::~Guardian() {
  std::unique_ptr<Child> last;
  bool has_work = false;
  {
    const MutexLock lock{mutex_};
    last = std::move(child_);
    has_work = !tickets_.empty();
  }
  if (last != nullptr && !has_work) {
    last->part();
  }
}

Result<void> Guardian::arm(std::uint32_t vm, std::string_view driver, std::string_view ticket) {
  GuardTicket armed{std::string{driver}, std::string{ticket}};
  const std::string text = to_text({vm, armed});
  if (text.size() > kMaxGuardianMessage || ticket.empty() || driver.empty() ||
      driver.find_first_of(" \n") != std::string_view::npos) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("cannot guard a ticket of {} bytes of driver '{}'", ticket.size(), driver));
  }
  std::unique_ptr<Child> former; // outlives the lock: a callback of its watch may be waiting for it
  const MutexLock lock{mutex_};
  auto before = tickets_.extract(vm);
  tickets_.insert_or_assign(vm, std::move(armed));
  if (child_ != nullptr && child_->send(text)) {
    return {};
  }
  if (child_ != nullptr) {
    former = std::move(child_);
    former->kill();
  }
  auto fresh = start(Wait::until_ready);
  for (int tries = 1; !fresh && fresh.error().kind == ErrorKind::source_failed && tries < kTries; ++tries) {
    fresh = start(Wait::until_ready);
  }
  if (!fresh) {
    tickets_.erase(vm);
    tickets_.insert(std::move(before));
    return no_guardian(program_, fresh.error());
  }
  child_ = std::move(*fresh);
  return {};
}

void Guardian::disarm(std::uint32_t vm) {
  const MutexLock lock{mutex_};
  if (tickets_.erase(vm) == 0 || child_ == nullptr) {
    return;
  }
  if (const auto sent = child_->send(to_text({vm, std::nullopt})); !sent) {
    // It must not act on stale tickets; another process takes over the rest.
    log::warning("guardian: {}: ending it", sent.error().text);
    child_->kill();
  }
}

/// Starts a process and passes all tickets to it.
Result<std::unique_ptr<Guardian::Child>> Guardian::start(Wait wait) {
  auto child = Child::start(program_, ++last_number_);
  if (!child) {
    return child;
  }
  Result<void> done = wait == Wait::until_ready ? (*child)->wait_until_ready() : Result<void>{};
  if (done) {
    done = hand_over(**child);
  }
  if (!done) {
    (*child)->kill();
    return tl::unexpected{std::move(done.error())};
  }
  log::debug("guardian: process {} guards {} VMs", (*child)->pid(), tickets_.size());
  return child;
}

Result<void> Guardian::hand_over(Child& child) {
  for (const auto& [vm, ticket] : tickets_) {
    if (auto sent = child.send(to_text({vm, ticket})); !sent) {
      return sent;
    }
  }
  return child.watch(watcher_, [this, number = child.number()] { on_end(number); });
}

/// Runs on the watcher's thread, so it does not wait until the new process is ready.
void Guardian::on_end(std::uint64_t number) {
  std::unique_ptr<Child> former; // destroyed without the lock
  const MutexLock lock{mutex_};
  if (child_ == nullptr || child_->number() != number) {
    return; // arm() was faster
  }
  former = std::move(child_);
  if (tickets_.empty()) {
    return;
  }
  const std::string how = former->how_it_ended();
  // Processes that always end before they are ready must not be restarted forever.
  unready_ = former->was_ready() ? 0 : unready_ + 1;
  Result<std::unique_ptr<Child>> fresh = fail(ErrorKind::source_failed, kOrigin, how);
  while (!fresh && unready_ < kTries) { // it may end before it has the tickets
    fresh = start(Wait::not_at_all);
    unready_ += fresh ? 0 : 1;
  }
  if (!fresh) {
    const std::string text =
        fmt::format("{}; until the next pause, {} paused VMs will not be resumed if vmemfs is killed",
                    no_guardian(program_, fresh.error()).value().message(), tickets_.size());
    log::error("{}", text);
    report(text);
    return;
  }
  const std::string text = fmt::format("guardian: {}; process {} takes over", how, (*fresh)->pid());
  log::warning("{}", text);
  report(text);
  child_ = std::move(*fresh);
}

void Guardian::report(const std::string& text) const {
  if (killed_) {
    killed_(text);
  }
}

} // namespace vmemfs
