// SPDX-License-Identifier: MIT
// The hub of one endpoint: takes the connections of VMs, greets them, and keeps the list of VMs.
//
// One connection is one VM, any number of VMs use one endpoint. A VM that loses its connection, as by a
// reset, a migration or UNHOOK, is the same VM if it connects again in time with the same uuid, name and
// start time; it is gone at once if its process has ended. A second connection of a VM, such as that of a
// migration's target, waits until the first one ends. Everything is bounded: connections, handshakes, and the
// time of each.
//
// VMs without a uuid look alike, so only the same process counts as the same VM again.
#pragma once

#include "core/error.h"
#include "drivers/kvmi/hub/endpoint.h"
#include "drivers/kvmi/hub/guest_link.h"
#include "drivers/kvmi/hub/handshake.h"
#include "drivers/kvmi/hub/listen_socket.h"
#include "host/process.h"
#include "util/mutex.h"
#include "util/rate_limit.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vmemfs::kvmi {

struct HubSettings {
  Endpoint endpoint;
  std::string secret{}; ///< empty: none
  std::chrono::milliseconds handshake{};
  std::chrono::milliseconds timeout{};   ///< of a reply
  std::chrono::milliseconds reconnect{}; ///< how long a VM may be without a connection

  friend bool operator==(const HubSettings&, const HubSettings&) = default;
};

/// Thread-safe.
class Hub {
public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::size_t kMaxVms = 64;
  static constexpr std::size_t kMaxHandshakes = 16;
  /// Connections of one VM within a minute; QEMU tries again once a second at most.
  static constexpr unsigned kMaxConnects = 128;

  /// Begins to listen, and starts a thread. busy: there is none.
  static Result<std::shared_ptr<Hub>> open(HubSettings settings);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  [[nodiscard]] const HubSettings& settings() const { return settings_; }

  /// The VMs that are connected, in the order in which they came.
  [[nodiscard]] std::vector<std::shared_ptr<GuestLink>> guests() const EXCLUDES(mutex_);

  /// The VM of this uuid, or else of this name, waited for until it connects. not_found: it did not. invalid:
  /// several have it.
  [[nodiscard]] Result<std::shared_ptr<GuestLink>> wait_for(std::string_view domain,
                                                            Clock::time_point deadline) const
      EXCLUDES(mutex_);

  /// Waits until any VM is connected.
  void wait_for_any(Clock::time_point deadline) const EXCLUDES(mutex_);

private:
  struct Guest {
    std::shared_ptr<GuestLink> link;
    std::shared_ptr<Session> session{}; ///< null while it is lost
    std::shared_ptr<Session> next{};    ///< connected already, for when `session` ends
    std::optional<Process> process{};   ///< of `session`, if it is one of this host
    std::optional<Process> next_process{};
    Clock::time_point lost_at{};
    Clock::time_point counted_since{};
    unsigned connects = 0; ///< in the minute since then

    [[nodiscard]] bool may_connect();
  };

  Hub(HubSettings settings, ListenSocket socket, UniqueFd wake);

  void run(const std::stop_token& stop);
  void wait_for_events();
  void accept_all();
  void advance_handshakes();
  void greeted(Handshake& handshake, const Greeting& greeting);
  /// The VM of a greeting, new or known; null, with a reason in the log: the connection is refused.
  [[nodiscard]] Guest* guest_of(const Greeting& greeting, const std::optional<Process>& process);
  void review_guests();
  /// True if the VM is gone.
  [[nodiscard]] bool review(Guest& guest);
  [[nodiscard]] Clock::time_point next_deadline() const;
  void publish() EXCLUDES(mutex_);
  [[nodiscard]] Result<std::shared_ptr<GuestLink>> find(std::string_view domain) const REQUIRES(mutex_);
  void refuse(std::string_view why);

  const HubSettings settings_;
  const ListenSocket socket_;
  const std::shared_ptr<const UniqueFd> wake_; ///< an eventfd: a session has ended, or the hub is to end

  // Of the hub's thread alone.
  std::list<Handshake> handshakes_;
  std::list<Guest> guests_;
  Clock::time_point accept_again_{}; ///< no connection is accepted before
  RateLimit refusals_{std::chrono::seconds{10}};

  mutable Mutex mutex_; ///< leaf
  mutable Condition changed_;
  std::vector<std::shared_ptr<GuestLink>> connected_ GUARDED_BY(mutex_);

  std::jthread thread_; ///< last: uses the rest
};

} // namespace vmemfs::kvmi
