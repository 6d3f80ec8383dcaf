// SPDX-License-Identifier: MIT
// The adapter from events of a domain to the driver's listener.
#pragma once

#include "driver/driver.h"
#include "driver/kit/listener_slot.h"
#include "drivers/libvirt/domain/domain.h"
#include "util/mutex.h"

#include <atomic>
#include <chrono>
#include <optional>

namespace vmemfs::libvirt {

/// Thread-safe.
class DomainListener {
public:
  explicit DomainListener(Domain& domain);

  /// As Driver::set_listener().
  void set(VmListener* listener) { listener_.set(listener); }
  void emit(VmEvent event) { listener_.emit(event); }

  /// libvirt has reported that this run is over.
  [[nodiscard]] bool ended() const { return ended_; }

  /// As Driver::state_delay(): libvirt reports within milliseconds, but a daemon that stops answering is
  /// noticed only after a while, and without a connection nothing is reported.
  [[nodiscard]] std::optional<std::chrono::milliseconds> state_delay() const;

private:
  void on_event(DomainEvent event);

  Domain& domain_;
  std::atomic<bool> ended_{false};
  ListenerSlot listener_;
  Connection::Subscription subscription_; ///< last: its callback uses the rest
};

} // namespace vmemfs::libvirt
