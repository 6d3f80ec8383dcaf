// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/connection_keeper.h"

#include "core/text.h"
#include "drivers/libvirt/connection/default_uri.h"
#include "util/limited_wait.h"
#include "util/log.h"
#include "util/network.h"
#include "util/signals.h"

#include <algorithm>
#include <array>
#include <exception>
#include <fmt/format.h>
#include <system_error>
#include <thread>
#include <utility>

namespace vmemfs::libvirt {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstWait{100};
constexpr milliseconds kMaxWait{5000};
/// Many events in a row count as one change of the list.
constexpr milliseconds kBetweenLists{30};
/// Time limit for ending while a connection is being opened.
constexpr milliseconds kForOpening{1000};
/// The interval of keepalive messages on a silent connection, and how many may stay unanswered.
constexpr int kAliveEvery = 1;
constexpr unsigned kAliveOwed = 3;
static_assert(std::chrono::seconds{kAliveEvery} * (kAliveOwed + 1) == kDeadAfter);

std::string uuid_of(virDomainPtr domain) {
  std::array<char, VIR_UUID_STRING_BUFLEN> text{};
  return virDomainGetUUIDString(domain, text.data()) == 0 ? std::string{text.data()} : std::string{};
}

/// `uri`: empty if libvirt chooses, which is a connection of this host.
std::string remedy(ErrorKind kind, const std::string& uri) {
  const auto place = parse_uri(uri);
  if (const bool local = uri.empty() || (place && place->local()); !local && !has_network()) {
    return "; this mount gave up the network, as nothing needed it: start it with this URI in a --vm or "
           "--discover";
  }
  if (kind == ErrorKind::permission) {
    return "; run vmemfs as root, or as a user of the group libvirt, or with credentials in libvirt's "
           "auth.conf";
  }
  const std::string where = uri.empty() ? "" : fmt::format(" -c '{}'", name_of_uri(uri));
  return fmt::format("; is the daemon (libvirtd, virtqemud) running there, and the URI right? See whether "
                     "`virsh{} list` works",
                     where);
}

} // namespace

ConnectionKeeper::ConnectionKeeper(std::string uri)
    : uri_{std::move(uri)},
      connect_error_{
          ErrorKind::busy, std::string{kOrigin},
          fmt::format("not connected to {} yet: the host has not answered so far", name_of_uri(uri_))} {}

Result<std::shared_ptr<ConnectionKeeper>> ConnectionKeeper::start(const std::string& uri) {
  auto keeper = std::make_shared<ConnectionKeeper>(uri);
  try {
    const SignalsBlocked blocked;
    std::thread{[keeper] { keeper->run(); }}.detach(); // see end_use()
  } catch (const std::system_error& error) {
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("cannot create a thread: {}", error.what()));
  }
  return keeper;
}

bool ConnectionKeeper::begin_use() {
  const MutexLock lock{mutex_};
  users_ += ended_ ? 0 : 1;
  return !ended_;
}

void ConnectionKeeper::end_use() {
  const MutexLock lock{mutex_};
  if (--users_ > 0) {
    return;
  }
  changed_.notify_all();
  changed_.wait_for(mutex_, kForOpening, [this]() REQUIRES(mutex_) { return ended_ || users_ > 0; });
}

void ConnectionKeeper::run() {
  milliseconds wait = kFirstWait;
  for (;;) {
    auto opened = open();
    if (opened) {
      wait = serve(*opened) ? kFirstWait : wait;
      opened = tl::unexpected{Error{}}; // closes it
    } else {
      note_failure(std::move(opened.error()));
    }
    const MutexLock lock{mutex_};
    changed_.wait_for(mutex_, wait, [this]() REQUIRES(mutex_) { return users_ == 0; });
    if (users_ == 0) {
      ended_ = true;
      changed_.notify_all();
      return;
    }
    wait = std::min(2 * wait, kMaxWait);
  }
}

Result<Link> ConnectionKeeper::open() const {
  const auto chosen = uri_.empty() ? chosen_uri() : Result<std::string>{uri_};
  if (!chosen) {
    return tl::unexpected{chosen.error()};
  }
  const std::string uri = without_prompts(*chosen);
  // libvirt reads its libvirt.conf again, which may have an alias for a command.
  const unsigned flags = aliases_trusted() ? 0U : unsigned{VIR_CONNECT_NO_ALIASES};
  virConnect* const connection = virConnectOpenAuth(uri.empty() ? nullptr : uri.c_str(), nullptr, flags);
  if (connection == nullptr) {
    auto failed = fail_vir(fmt::format("cannot connect to {}", name_of_uri(uri_)));
    failed.value().text += remedy(failed.value().kind, *chosen);
    return failed;
  }
  virConnectSetKeepAlive(connection, kAliveEvery,
                         kAliveOwed); // fails if keepalive is not possible, such as for test:///
  return adopt(connection);
}

void ConnectionKeeper::note_failure(Error error) {
  const MutexLock lock{mutex_};
  if (connect_error_.text != error.text) {
    log::debug("{}", error.message()); // whoever needs the connection reports it to the user
  }
  connect_error_ = std::move(error);
  ++tries_;
  changed_.notify_all();
}

/// Serves the connection until it breaks or has no more users. False: it was unusable from the start.
bool ConnectionKeeper::serve(const Link& link) {
  {
    const MutexLock lock{mutex_};
    closed_ = false;
  }
  const std::vector<int> callbacks = listen(link);
  std::string canonical = taken(virConnectGetURI(link.get()));
  std::string host = taken(virConnectGetHostname(link.get()));
  if (!take_list(link)) {
    stop_listening(link, callbacks);
    return false;
  }
  {
    const MutexLock lock{mutex_};
    canonical_uri_ = std::move(canonical);
    host_ = std::move(host);
    link_ = link;
    ++tries_;
    changed_.notify_all();
  }
  log::debug("libvirt: connected to {}", name_of_uri(uri_));
  subscribers_->notify_all(DomainEvent::state_unclear);
  for (bool good = true; good;) {
    ReleasableMutexLock lock{mutex_};
    changed_.wait(mutex_, [this]() REQUIRES(mutex_) { return users_ == 0 || closed_ || list_stale_; });
    if (users_ == 0 || closed_) {
      break;
    }
    changed_.wait_for(mutex_, kBetweenLists, [this]() REQUIRES(mutex_) { return users_ == 0 || closed_; });
    lock.unlock();
    good = take_list(link);
  }
  {
    const MutexLock lock{mutex_};
    link_ = nullptr;
    if (users_ > 0) {
      connect_error_ = lost();
      log::warning("{}", connect_error_.message());
    }
  }
  subscribers_->notify_all(DomainEvent::state_unclear);
  stop_listening(link, callbacks);
  return true;
}

Error ConnectionKeeper::lost() const {
  return {ErrorKind::source_failed, std::string{kOrigin},
          fmt::format("the connection to {} was lost; reconnecting", name_of_uri(uri_))};
}

/// False if libvirt does not answer.
bool ConnectionKeeper::take_list(const Link& link) {
  {
    const MutexLock lock{mutex_};
    list_stale_ = false; // an event from here on makes the list stale again
  }
  virDomainPtr* handles = nullptr;
  const int count = virConnectListAllDomains(link.get(), &handles, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
  if (count < 0) {
    note_failure(fail_vir(fmt::format("cannot list the domains of {}", name_of_uri(uri_))).value());
    return false;
  }
  std::vector<DomainRun> list;
  for (int i = 0; i < count; ++i) {
    const DomainHandle domain = adopt(handles[i]);
    const char* const name = virDomainGetName(domain.get());
    const auto id = static_cast<int>(virDomainGetID(domain.get()));
    if (id >= 0) { // otherwise it has ended in the meantime
      list.push_back({uuid_of(domain.get()), name != nullptr ? name : "", id});
    }
  }
  std::free(handles); // NOLINT(cppcoreguidelines-no-malloc): allocated by libvirt
  std::ranges::sort(list, {}, &DomainRun::id);
  {
    const MutexLock lock{mutex_};
    domains_ = list;
  }
  subscribers_->notify_ended(list);
  return true;
}

std::optional<ConnectionUri> ConnectionKeeper::place() const {
  if (auto given = parse_uri(uri_)) {
    return given;
  }
  const MutexLock lock{mutex_};
  return parse_uri(canonical_uri_);
}

Result<Link> ConnectionKeeper::link() const {
  const MutexLock lock{mutex_};
  return link_ != nullptr && !closed_ ? Result<Link>{link_} : tl::unexpected{connect_error_};
}

Result<Link> ConnectionKeeper::wait_for_link(milliseconds limit) const {
  const MutexLock lock{mutex_};
  const unsigned enough = tries_ == 0 ? 1 : tries_ + 1;
  const bool tried =
      wait_within_limit(changed_, mutex_, std::chrono::steady_clock::now() + limit, [&]() REQUIRES(mutex_) {
        return (link_ != nullptr && !closed_) || tries_ >= enough;
      });
  if (!tried && WorkLimit::over()) {
    return WorkLimit::exceeded(kOrigin);
  }
  return link_ != nullptr && !closed_ ? Result<Link>{link_} : tl::unexpected{connect_error_};
}

std::string ConnectionKeeper::host() const {
  const MutexLock lock{mutex_};
  return host_;
}

std::vector<DomainRun> ConnectionKeeper::domains() const {
  const MutexLock lock{mutex_};
  return domains_;
}

// ---- events

/// The callbacks for libvirt. Each registration for events owns a reference to the keeper. The registration
/// for the close event has the keeper itself, which serves the connection until that registration is ended:
/// libvirt never calls back to free its argument if a driver has no such event (test, esx, libxl).
struct ConnectionKeeper::Callbacks {
  using Self = std::shared_ptr<ConnectionKeeper>;

  static void* argument(ConnectionKeeper& keeper) { return new Self{keeper.shared_from_this()}; }
  static void drop(void* argument) { delete static_cast<Self*>(argument); }
  static ConnectionKeeper& keeper(void* argument) { return **static_cast<Self*>(argument); }

  static void closed(virConnectPtr /*link*/, int /*reason*/, void* keeper) {
    static_cast<ConnectionKeeper*>(keeper)->on_closed();
  }

  static int lifecycle(virConnectPtr /*link*/, virDomainPtr domain, int event, int detail, void* argument) {
    switch (event) {
    case VIR_DOMAIN_EVENT_SUSPENDED: {
      // If it was resumed by a command; otherwise its memory may just have been loaded, by a migration or
      // from a file.
      const bool plain = detail == VIR_DOMAIN_EVENT_SUSPENDED_PAUSED;
      keeper(argument).on_event(uuid_of(domain), plain ? DomainEvent::paused : DomainEvent::state_unclear);
      break;
    }
    case VIR_DOMAIN_EVENT_RESUMED: keeper(argument).on_event(uuid_of(domain), DomainEvent::resumed); break;
    case VIR_DOMAIN_EVENT_STARTED: // also of a domain that was running: it was woken up
      keeper(argument).on_event(uuid_of(domain), DomainEvent::state_unclear);
      keeper(argument).on_list_changed();
      break;
    case VIR_DOMAIN_EVENT_STOPPED:
    case VIR_DOMAIN_EVENT_DEFINED:
    case VIR_DOMAIN_EVENT_UNDEFINED: keeper(argument).on_list_changed(); break;
    default: keeper(argument).on_event(uuid_of(domain), DomainEvent::state_unclear);
    }
    return 0;
  }

  static void reboot(virConnectPtr /*link*/, virDomainPtr domain, void* argument) {
    keeper(argument).on_event(uuid_of(domain), DomainEvent::reset);
  }

  static void device(virConnectPtr /*link*/, virDomainPtr domain, const char* /*alias*/, void* argument) {
    keeper(argument).on_event(uuid_of(domain), DomainEvent::memory_changed);
  }

  /// libvirt has one function type for all kinds of events and requires a cast.
  template <typename Function> static virConnectDomainEventGenericCallback generic(Function function) {
    return reinterpret_cast<virConnectDomainEventGenericCallback>(reinterpret_cast<void (*)()>(function));
  }
};

/// Registers for all events; the registrations end with the connection. Events that this kind of connection
/// does not have are left out.
std::vector<int> ConnectionKeeper::listen(const Link& link) {
  // Without this event a lost connection is noticed only at the next call.
  static_cast<void>(virConnectRegisterCloseCallback(link.get(), &Callbacks::closed, this, nullptr));
  const std::array<std::pair<int, virConnectDomainEventGenericCallback>, 4> wanted{
      {{VIR_DOMAIN_EVENT_ID_LIFECYCLE, Callbacks::generic(&Callbacks::lifecycle)},
       {VIR_DOMAIN_EVENT_ID_REBOOT, Callbacks::generic(&Callbacks::reboot)},
       {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, Callbacks::generic(&Callbacks::device)},
       {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, Callbacks::generic(&Callbacks::device)}}};
  std::vector<int> registered;
  for (const auto& [event, function] : wanted) {
    void* const callback_argument = Callbacks::argument(*this);
    const int number = virConnectDomainEventRegisterAny(link.get(), nullptr, event, function,
                                                        callback_argument, &Callbacks::drop);
    if (number >= 0) {
      registered.push_back(number);
    } else {
      Callbacks::drop(callback_argument);
    }
  }
  return registered;
}

void ConnectionKeeper::stop_listening(const Link& link, const std::vector<int>& callbacks) {
  for (const int callback : callbacks) {
    virConnectDomainEventDeregisterAny(link.get(), callback);
  }
  virConnectUnregisterCloseCallback(link.get(), &Callbacks::closed);
}

void ConnectionKeeper::on_closed() {
  const MutexLock lock{mutex_};
  closed_ = true;
  connect_error_ = lost();
  changed_.notify_all();
}

void ConnectionKeeper::on_event(const std::string& uuid, DomainEvent event) {
  subscribers_->notify(uuid, event);
}

void ConnectionKeeper::on_list_changed() {
  const MutexLock lock{mutex_};
  list_stale_ = true;
  changed_.notify_all();
}

} // namespace vmemfs::libvirt
