// SPDX-License-Identifier: MIT
// The subscribers to events of a connection's domains.
#pragma once

#include "drivers/libvirt/connection/domain_run.h"
#include "util/mutex.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>

namespace vmemfs::libvirt {

/// Thread-safe. Callbacks are called one at a time. Held by shared_ptr, as the value that add() returns keeps
/// a reference to it.
class Subscribers : public std::enable_shared_from_this<Subscribers> {
public:
  using Callback = std::function<void(DomainEvent)>;

  /// Subscribed until the last copy of the returned value goes.
  [[nodiscard]] std::shared_ptr<void> add(const DomainRun& run, Callback callback);

  /// Notifies the subscribers of this domain.
  void notify(std::string_view uuid, DomainEvent event);
  void notify_all(DomainEvent event);
  /// Reports the end of all domains that are not in the list.
  void notify_ended(std::span<const DomainRun> running);

private:
  struct Entry {
    DomainRun run;
    Callback callback;
  };

  Mutex mutex_; ///< held while callbacks are called
  std::map<std::uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  std::uint64_t next_ GUARDED_BY(mutex_) = 0;
};

} // namespace vmemfs::libvirt
