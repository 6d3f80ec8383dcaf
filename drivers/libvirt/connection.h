// SPDX-License-Identifier: MIT
// One connection to a libvirt daemon, shared by all that has to do with its domains, and made anew as long as
// somebody wants it.
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection_uri.h"
#include "drivers/libvirt/handles.h"
#include "drivers/libvirt/limited_calls.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::libvirt {

/// One run of a domain: from its start to its end.
struct DomainRun {
  std::string uuid;
  std::string name; ///< not trusted
  int id = -1;      ///< of this run; libvirt counts them, and keeps it over its own restarts

  friend bool operator==(const DomainRun&, const DomainRun&) = default;
};

enum class DomainEvent : unsigned char {
  paused,
  resumed,
  reset,
  memory_changed, ///< a device came or went: perhaps a DIMM
  state_unclear,  ///< something happened, or may have while there was no connection
  ended,
};

/// Thread-safe. What takes a connection fails while there is none, with the reason; it is tried again and
/// again, less and less often. A daemon that does not answer is given up after kDeadAfter.
class Connection {
public:
  static constexpr std::chrono::seconds kDeadAfter{4};

  /// The one of this URI; `uri` empty: as libvirt's own rules say (libvirt.org/uri.html). Does not wait.
  /// no_memory: no thread to be had.
  static Result<std::shared_ptr<Connection>> to(const std::string& uri);
  class Keeper;
  Connection(std::string uri, std::shared_ptr<Keeper> keeper); ///< for to() only
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] const std::string& uri() const { return uri_; } ///< as given
  /// Where it really leads, as far as that is known: an alias is known once there was a connection.
  [[nodiscard]] std::optional<ConnectionUri> place() const;

  /// Error: why there is none just now.
  [[nodiscard]] Result<Link> link() const;
  /// The same, but waits for the first try, and where that failed for one more.
  [[nodiscard]] Result<Link> wait_for_link(std::chrono::milliseconds limit) const;

  /// The name of the host, as that calls itself; empty while it was never heard.
  [[nodiscard]] std::string host() const;

  /// The domains that run, the oldest first, as last heard; nothing while that was never heard.
  [[nodiscard]] std::vector<DomainRun> domains() const;

  /// Ends what subscribe() began; when the destructor returns, the callback does not run any more.
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

  /// Tells what happens to this run of a domain, on a thread that must not be kept: it must return soon and
  /// ask libvirt nothing.
  [[nodiscard]] Subscription subscribe(const DomainRun& run, std::function<void(DomainEvent)> callback);

  /// For calls that libvirt may be slow to answer.
  [[nodiscard]] const std::shared_ptr<CallSlots>& slots() const { return slots_; }

private:
  const std::string uri_;
  const std::shared_ptr<Keeper> keeper_;
  const std::shared_ptr<CallSlots> slots_ = std::make_shared<CallSlots>();
};

} // namespace vmemfs::libvirt
