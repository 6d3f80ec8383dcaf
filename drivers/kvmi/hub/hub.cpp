// SPDX-License-Identifier: MIT
#include "drivers/kvmi/hub/hub.h"

#include "core/text.h"
#include "util/limited_wait.h"
#include "util/log.h"
#include "util/signals.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fmt/format.h>
#include <iterator>
#include <poll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

tl::unexpected<Error> no_thread(const std::system_error& error) {
  return fail(ErrorKind::busy, kOrigin,
              fmt::format("cannot create a thread: {}; raise the limit (ulimit -u)", error.code().message()));
}

/// Zeros, as in the greeting of a QEMU that was started without one.
bool has_uuid(const Greeting& greeting) { return greeting.uuid.find_first_not_of("0-") != std::string::npos; }

bool same_process(const std::optional<Process>& a, const std::optional<Process>& b) {
  return a && b && a->pid() == b->pid() && a->start_time() == b->start_time();
}

void wake(int fd) { static_cast<void>(::eventfd_write(fd, 1)); }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// While a VM is lost, the end of its process is looked for this often: it ends a moment after its sockets.
constexpr std::chrono::milliseconds kProcessPoll{50};

/// After a connection that could not be accepted and still waits.
constexpr std::chrono::milliseconds kAcceptPause{200};

} // namespace

Result<std::shared_ptr<Hub>> Hub::open(HubSettings settings) {
  UniqueFd wake_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!wake_fd) {
    return fail_errno(errno, kOrigin, "cannot make an eventfd");
  }
  auto socket = ListenSocket::open(settings.endpoint);
  if (!socket) {
    return tl::unexpected{std::move(socket.error())};
  }
  try {
    return std::shared_ptr<Hub>{new Hub{std::move(settings), std::move(*socket), std::move(wake_fd)}};
  } catch (const std::system_error& error) {
    return no_thread(error);
  }
}

Hub::Hub(HubSettings settings, ListenSocket socket, UniqueFd wake_fd)
    : settings_{std::move(settings)}, socket_{std::move(socket)},
      wake_{std::make_shared<const UniqueFd>(std::move(wake_fd))} {
  const SignalsBlocked blocked; // the main thread gets them
  thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
}

Hub::~Hub() {
  thread_.request_stop();
  wake(wake_->get());
  thread_.join();
  for (Guest& guest : guests_) {
    guest.link->gone();
  }
}

std::vector<std::shared_ptr<GuestLink>> Hub::guests() const {
  const MutexLock lock{mutex_};
  return connected_;
}

Result<std::shared_ptr<GuestLink>> Hub::find(std::string_view domain) const {
  // Names are chosen more freely than uuids: one that is another VM's uuid must not hide that VM.
  std::vector<std::shared_ptr<GuestLink>> found;
  const auto take_all = [&](const auto& matches) REQUIRES(mutex_) {
    std::ranges::copy_if(connected_, std::back_inserter(found),
                         [&](const auto& link) { return matches(link->greeting()); });
  };
  take_all([&](const Greeting& greeting) { return equal_ignoring_case(greeting.uuid, domain); });
  if (found.empty()) {
    take_all([&](const Greeting& greeting) { return greeting.name == domain; });
  }
  if (found.size() > 1) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("several VMs at {} have the name or uuid '{}'; give domain= the other of the two",
                            printable(settings_.endpoint.text()), printable(domain)));
  }
  return found.empty() ? nullptr : found.front();
}

Result<std::shared_ptr<GuestLink>> Hub::wait_for(std::string_view domain, Clock::time_point deadline) const {
  const MutexLock lock{mutex_};
  Result<std::shared_ptr<GuestLink>> found;
  wait_within_limit(changed_, mutex_, deadline, [&]() REQUIRES(mutex_) {
    found = find(domain);
    return !found || *found != nullptr;
  });
  if (found && *found == nullptr) {
    return fail(
        ErrorKind::not_found, kOrigin,
        fmt::format("no VM of the name or uuid '{}' has connected to {} ({} have); start it with -chardev "
                    "socket,path=...,reconnect=... and -object introspection, and compare key=",
                    printable(domain), printable(settings_.endpoint.text()), connected_.size()));
  }
  return found;
}

void Hub::wait_for_any(Clock::time_point deadline) const {
  const MutexLock lock{mutex_};
  wait_within_limit(changed_, mutex_, deadline, [&]() REQUIRES(mutex_) { return !connected_.empty(); });
}

void Hub::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    wait_for_events();
    accept_all();
    advance_handshakes();
    review_guests();
  }
}

Hub::Clock::time_point Hub::next_deadline() const {
  auto next = Clock::now() < accept_again_ ? accept_again_ : Clock::time_point::max();
  for (const Handshake& handshake : handshakes_) {
    next = std::min(next, handshake.deadline());
  }
  for (const Guest& guest : guests_) {
    if (guest.session == nullptr) {
      next =
          std::min(next, guest.process ? Clock::now() + kProcessPoll : guest.lost_at + settings_.reconnect);
    }
  }
  return next;
}

void Hub::wait_for_events() {
  const bool accepting = Clock::now() >= accept_again_;
  std::vector<pollfd> entries{{accepting ? socket_.fd() : -1, POLLIN, 0}, {wake_->get(), POLLIN, 0}};
  for (const Handshake& handshake : handshakes_) {
    entries.push_back({handshake.fd(), POLLIN, 0});
  }
  const auto deadline = next_deadline();
  int wait_ms = -1;
  if (deadline != Clock::time_point::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    wait_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  }
  static_cast<void>(::poll(entries.data(), entries.size(), wait_ms));
  eventfd_t count = 0;
  static_cast<void>(::eventfd_read(wake_->get(), &count));
}

void Hub::accept_all() {
  if (Clock::now() < accept_again_) {
    return;
  }
  for (std::size_t i = 0; i < kMaxHandshakes; ++i) {
    auto accepted = socket_.accept();
    if (!accepted) {
      refuse(accepted.error().text);
      if (accepted.error().kind != ErrorKind::permission) { // no descriptors are left, perhaps
        accept_again_ = Clock::now() + kAcceptPause;
        return;
      }
      continue;
    }
    if (!*accepted) {
      return;
    }
    if (handshakes_.size() >= kMaxHandshakes) {
      // A VM sends its greeting at once, so the oldest is the last that will. Those of this round stay until
      // they were looked at.
      refuse("too many connections have not sent their greeting");
      handshakes_.pop_front();
    }
    handshakes_.emplace_back(std::move((*accepted)->socket), (*accepted)->process,
                             Clock::now() + settings_.handshake);
  }
}

void Hub::advance_handshakes() {
  for (auto handshake = handshakes_.begin(); handshake != handshakes_.end();) {
    const auto greeting = handshake->advance(settings_.secret);
    if (!greeting) {
      refuse(greeting.error().text);
    } else if (*greeting) {
      greeted(*handshake, **greeting);
    } else if (Clock::now() < handshake->deadline()) {
      ++handshake;
      continue;
    } else {
      refuse(fmt::format("a connection sent no greeting within {} ms", settings_.handshake.count()));
    }
    handshake = handshakes_.erase(handshake);
  }
}

bool Hub::Guest::may_connect() {
  constexpr std::chrono::minutes kCounted{1};
  if (const auto now = Clock::now(); now - counted_since >= kCounted) {
    counted_since = now;
    connects = 0;
  }
  return ++connects <= kMaxConnects;
}

Hub::Guest* Hub::guest_of(const Greeting& greeting, const std::optional<Process>& process) {
  const auto key_of = [](const Guest& one) { return GuestLink::key_of(one.link->greeting()); };
  auto guest = std::ranges::find(guests_, GuestLink::key_of(greeting), key_of);
  if (guest != guests_.end() && !has_uuid(greeting) && !same_process(guest->process, process)) {
    if (guest->session != nullptr && !guest->session->ended()) {
      refuse("another VM without a uuid has the same name and start time; start it with -uuid");
      return nullptr;
    }
    guest->link->gone(); // what comes now is another VM
    guests_.erase(guest);
    guest = guests_.end();
  }
  if (guest == guests_.end()) {
    if (guests_.size() >= kMaxVms) {
      refuse(fmt::format("there are {} VMs already", guests_.size()));
      return nullptr;
    }
    guest = guests_.insert(guests_.end(), Guest{.link = std::make_shared<GuestLink>(greeting)});
  }
  if (!guest->may_connect()) {
    refuse(fmt::format("the VM '{}' connects too often", printable(greeting.name)));
    return nullptr;
  }
  return &*guest;
}

void Hub::greeted(Handshake& handshake, const Greeting& greeting) {
  std::optional<Process> process;
  if (auto opened = Process::open(handshake.process())) {
    process.emplace(std::move(*opened));
  }
  Guest* const guest = guest_of(greeting, process);
  if (guest == nullptr) {
    return;
  }
  std::shared_ptr<Session> session;
  try {
    session = std::make_shared<Session>(handshake.take_socket(), greeting, settings_.timeout,
                                        [fd = wake_] { wake(fd->get()); });
  } catch (const std::system_error& error) {
    refuse(no_thread(error).value().text);
    return; // a VM that is new goes with the next review
  }
  if (guest->session != nullptr) {
    guest->next = std::move(session); // one at most: a former one is closed
    guest->next_process = std::move(process);
    return;
  }
  guest->session = std::move(session);
  guest->process = std::move(process);
  guest->link->connected(guest->session);
  log::debug("kvmi: VM '{}' ({}) has connected", printable(greeting.name), greeting.uuid);
  publish();
}

void Hub::review_guests() {
  for (auto guest = guests_.begin(); guest != guests_.end();) {
    if (!review(*guest)) {
      ++guest;
      continue;
    }
    guest->link->gone();
    guest = guests_.erase(guest);
    publish();
  }
}

bool Hub::review(Guest& guest) {
  if (guest.next != nullptr && guest.next->ended()) {
    guest.next.reset();
  }
  if (guest.session != nullptr) {
    if (!guest.session->ended()) {
      return false;
    }
    log::debug("kvmi: the connection of VM '{}' has ended: {}", printable(guest.link->greeting().name),
               guest.session->connection().reason());
    guest.session.reset();
    guest.lost_at = Clock::now();
    guest.link->lost();
    if (guest.next != nullptr) {
      guest.session = std::move(guest.next);
      guest.process = std::move(guest.next_process);
      guest.link->connected(guest.session);
      return false;
    }
    publish();
  }
  return (guest.process && !guest.process->alive()) || Clock::now() - guest.lost_at >= settings_.reconnect;
}

void Hub::publish() {
  std::vector<std::shared_ptr<GuestLink>> connected;
  for (const Guest& guest : guests_) {
    if (guest.session != nullptr) {
      connected.push_back(guest.link);
    }
  }
  const MutexLock lock{mutex_};
  connected_.swap(connected);
  changed_.notify_all();
}

void Hub::refuse(std::string_view why) {
  if (refusals_.allows()) {
    log::warning("kvmi: {}: {}", printable(settings_.endpoint.text()), why);
  }
}

} // namespace vmemfs::kvmi
