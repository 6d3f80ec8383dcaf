// SPDX-License-Identifier: MIT
#include "fs/guardian/guardian_process.h"

#include "core/text.h"
#include "driver/driver_runtimes.h"
#include "drivers/all_drivers.h"
#include "fs/daemon/helper_process.h"
#include "fs/guardian/guardian_message.h"
#include "host/process.h"
#include "util/log.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <map>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Tickets = std::map<std::uint32_t, GuardTicket>;

constexpr int kWrongUse = 2;
constexpr int kFailed = 1;
constexpr milliseconds kFirstPause{50};
constexpr milliseconds kMaxRetryDelay{1000};
constexpr std::chrono::minutes kGiveUpAfter{10};
constexpr int kPollIntervalMs = 250; ///< interval of checks for a dying daemon, while there are tickets

bool is_message_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/// Releases the daemon's descriptors, working directory and process name. Returns the socket, the only
/// descriptor that is kept.
UniqueFd detach() {
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  UniqueFd socket{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
  leave_standard_streams();
  static_cast<void>(!::chdir("/"));
  ::prctl(PR_SET_NAME, kGuardianProcessName.data());
  return socket;
}

void take(std::string_view text, Tickets& tickets) {
  auto message = parse_guardian_message(text);
  if (!message) {
    log::warning("{}", message.error().message());
  } else if (message->armed) {
    tickets[message->vm] = std::move(*message->armed);
  } else {
    tickets.erase(message->vm);
  }
}

/// The pid of the process at the other end; 0 if unknown.
pid_t daemon_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

/// A process that dumps core or has released its memory is dead. But its files stay open until the last byte
/// is written or freed, which can take seconds.
bool is_dying(pid_t pid) {
  const auto status = read_proc_file(fmt::format("/proc/{}/status", pid));
  return status && (status->find("\nCoreDumping:\t1\n") != std::string::npos ||
                    status->find("\nVmSize:") == std::string::npos);
}

enum class Received : unsigned char { message, nothing_yet, end, failure };

/// Handles the next message.
Received receive(int socket, Tickets& tickets) {
  std::string buffer(kMaxGuardianMessage, '\0');
  const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), MSG_TRUNC | MSG_DONTWAIT);
  // ECONNRESET: the daemon ended without having read our message. It is reported once, before the messages
  // that are still queued; the end of the stream comes after them.
  if (size < 0 && errno == ECONNRESET) {
    return Received::message;
  }
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
    return Received::nothing_yet;
  }
  if (size < 0) {
    log::error("guardian: cannot receive from the daemon: {}", std::generic_category().message(errno));
    return Received::failure;
  }
  if (size > static_cast<ssize_t>(buffer.size())) {
    log::warning("guardian: a message of {} bytes is too long", size);
  } else if (size > 0) {
    take(std::string_view{buffer}.substr(0, static_cast<std::size_t>(size)), tickets);
  }
  return size > 0 ? Received::message : Received::end;
}

/// Handles messages until the daemon has ended (true) or its socket fails (false).
bool listen_to_daemon(int socket, Tickets& tickets) {
  const pid_t daemon = daemon_of(socket);
  bool dead = false;
  for (;;) {
    switch (receive(socket, tickets)) {
    case Received::message: continue;
    case Received::end: return true;
    case Received::failure: return false;
    case Received::nothing_yet: break;
    }
    if (dead) {
      return true;
    }
    pollfd wait{socket, POLLIN, 0};
    const bool quiet = ::poll(&wait, 1, tickets.empty() ? -1 : kPollIntervalMs) == 0;
    dead = quiet && daemon != 0 && is_dying(daemon); // its earlier messages are handled first
  }
}

Result<void> resume(const GuardTicket& ticket, const DriverRuntimes& runtimes) {
  const auto types = all_drivers();
  const auto type = std::ranges::find(types, ticket.driver, &DriverType::name);
  if (type == types.end()) {
    return fail(ErrorKind::unsupported, "guardian",
                fmt::format("there is no driver '{}'", printable(ticket.driver)));
  }
  return (*type)->resume_orphan(ticket.ticket, runtimes.of(**type));
}

/// True for errors that a retry cannot change.
bool is_final(ErrorKind kind) {
  return kind == ErrorKind::vm_gone || kind == ErrorKind::not_found || kind == ErrorKind::unsupported ||
         kind == ErrorKind::invalid;
}

/// Retries, because another client of the VM's monitor may disconnect later.
void resume_vm(std::uint32_t vm, const GuardTicket& ticket, const DriverRuntimes& runtimes) {
  const auto begin = Clock::now();
  milliseconds pause = kFirstPause;
  std::string reported;
  for (;;) {
    const auto resumed = resume(ticket, runtimes);
    const auto passed = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
    if (resumed) {
      log::info("guardian: VM {} ({}) is no longer paused by vmemfs, after {} ms", vm,
                printable(ticket.driver), passed.count());
      return;
    }
    const Error& error = resumed.error();
    if (is_final(error.kind) || passed >= kGiveUpAfter) {
      log::error("guardian: cannot resume VM {} ({}), which stays paused: {}", vm, printable(ticket.driver),
                 error.message());
      return;
    }
    if (std::exchange(reported, error.message()) != error.message()) {
      log::warning("guardian: VM {} ({}) is still paused, trying again: {}", vm, printable(ticket.driver),
                   reported);
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kMaxRetryDelay);
  }
}

/// Each VM has its own thread, because one that hangs must not delay the others.
void resume_all(const Tickets& tickets) {
  const DriverRuntimes runtimes{all_drivers()};
  std::vector<std::jthread> threads;
  threads.reserve(tickets.size());
  std::vector<Tickets::const_pointer> rest;
  for (const auto& entry : tickets) {
    try {
      threads.emplace_back([&] { resume_vm(entry.first, entry.second, runtimes); });
    } catch (const std::system_error&) { // cannot create a thread
      rest.push_back(&entry);
    }
  }
  for (const auto* const entry : rest) {
    resume_vm(entry->first, entry->second, runtimes);
  }
}

} // namespace

int run_guardian() {
  if (!is_message_socket(STDIN_FILENO)) {
    std::fputs("vmemfs: guardian-process is internal: vmemfs starts it when it pauses a VM. Run 'vmemfs "
               "--help' for the commands.\n",
               stderr);
    return kWrongUse;
  }
  ignore_termination_signals();
  const UniqueFd socket = detach();
  log::to_syslog();
  // Fails only if the daemon has ended, which is detected next.
  static_cast<void>(!::send(socket.get(), kGuardianReady.data(), kGuardianReady.size(), MSG_NOSIGNAL));
  Tickets tickets;
  if (!listen_to_daemon(socket.get(), tickets)) {
    return kFailed;
  }
  if (!tickets.empty()) {
    log::info("guardian: vmemfs has ended with {} VMs paused", tickets.size());
    resume_all(tickets);
  }
  return 0;
}

} // namespace vmemfs
