// SPDX-License-Identifier: MIT
// A connection to a libvirt daemon, shared by all its domains, and reopened as long as it has users.
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection/connection_uri.h"
#include "drivers/libvirt/connection/domain_run.h"
#include "drivers/libvirt/connection/handles.h"
#include "drivers/libvirt/connection/limited_calls.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::libvirt {

class ConnectionKeeper;

/// Thread-safe. While there is no connection, whatever needs one fails with the reason. Opening is retried
/// with a growing delay. A daemon that does not answer for kDeadAfter counts as disconnected.
class Connection {
public:
  /// For Connections::to() only. `event_loop`: what libvirt's event loop needs.
  Connection(std::string uri, std::shared_ptr<ConnectionKeeper> keeper,
             std::shared_ptr<const void> event_loop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] const std::string& uri() const { return uri_; } ///< as given
  /// Where the connection leads, as far as known: an alias is resolved only when a connection was opened.
  [[nodiscard]] std::optional<ConnectionUri> place() const;

  /// Error: the reason why there is no connection at the moment.
  [[nodiscard]] Result<Link> link() const;
  /// The same, but waits for the first attempt to open it and, if that fails, for one more.
  [[nodiscard]] Result<Link> wait_for_link(std::chrono::milliseconds limit) const;

  /// The host's own name; empty until the host was reached once.
  [[nodiscard]] std::string host() const;

  /// The running domains, oldest first, as last reported; nothing until there was a first report.
  [[nodiscard]] std::vector<DomainRun> domains() const;

  /// Ends what subscribe() began; when the destructor returns, the callback is not running any more.
  class Subscription {
  public:
    Subscription() = default;
    Subscription(Subscription&&) noexcept = default;
    Subscription& operator=(Subscription&&) noexcept = default;
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription() = default;

  private:
    friend class Connection;
    explicit Subscription(std::shared_ptr<void> token) : token_{std::move(token)} {}
    std::shared_ptr<void> token_;
  };

  /// Reports events of this run of a domain. The callback must return soon and must not call libvirt, as its
  /// thread serves all domains.
  [[nodiscard]] Subscription subscribe(const DomainRun& run, std::function<void(DomainEvent)> callback);

  /// For calls that libvirt may be slow to answer.
  [[nodiscard]] const std::shared_ptr<CallSlots>& slots() const { return slots_; }

private:
  const std::shared_ptr<const void> event_loop_; ///< first: it must run until the end
  const std::string uri_;
  const std::shared_ptr<ConnectionKeeper> keeper_;
  const std::shared_ptr<CallSlots> slots_ = std::make_shared<CallSlots>();
};

} // namespace vmemfs::libvirt
