// SPDX-License-Identifier: MIT
// The implementation of Connection: a thread that opens the connection, keeps the list of domains current by
// libvirt's events, and reopens the connection when it breaks.
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection/connection_uri.h"
#include "drivers/libvirt/connection/domain_run.h"
#include "drivers/libvirt/connection/handles.h"
#include "drivers/libvirt/connection/subscribers.h"
#include "util/mutex.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::libvirt {

/// Thread-safe. Outlives its Connection if opening hangs: the thread owns a reference to it.
class ConnectionKeeper : public std::enable_shared_from_this<ConnectionKeeper> {
public:
  /// Creates one with its thread. no_memory: no thread could be created.
  static Result<std::shared_ptr<ConnectionKeeper>> start(const std::string& uri);
  explicit ConnectionKeeper(std::string uri);

  /// False: it has ended.
  [[nodiscard]] bool begin_use();
  /// Ends the thread when there are no more users; waits for it only for a limited time, as opening a
  /// connection cannot be interrupted.
  void end_use();

  [[nodiscard]] std::optional<ConnectionUri> place() const;
  [[nodiscard]] Result<Link> link() const;
  [[nodiscard]] Result<Link> wait_for_link(std::chrono::milliseconds limit) const;
  [[nodiscard]] std::vector<DomainRun> domains() const;
  [[nodiscard]] std::string host() const;
  [[nodiscard]] Subscribers& subscribers() { return *subscribers_; }

private:
  void run() EXCLUDES(mutex_);
  [[nodiscard]] Result<Link> open() const;
  [[nodiscard]] bool serve(const Link& link) EXCLUDES(mutex_);
  [[nodiscard]] std::vector<int> listen(const Link& link);
  static void stop_listening(const Link& link, const std::vector<int>& callbacks);
  [[nodiscard]] bool take_list(const Link& link) EXCLUDES(mutex_);
  void note_failure(Error error) EXCLUDES(mutex_);
  [[nodiscard]] Error lost() const;

  // On the event loop's thread.
  void on_closed() EXCLUDES(mutex_);
  void on_event(const std::string& uuid, DomainEvent event);
  void on_list_changed() EXCLUDES(mutex_);
  struct Callbacks;

  const std::string uri_;
  const std::shared_ptr<Subscribers> subscribers_ = std::make_shared<Subscribers>();

  mutable Mutex mutex_; ///< never held during a call of libvirt
  mutable Condition changed_;
  Link link_ GUARDED_BY(mutex_);                   ///< null while there is no connection
  std::string host_ GUARDED_BY(mutex_){};          ///< the host's own name
  std::string canonical_uri_ GUARDED_BY(mutex_){}; ///< as libvirt reports it
  Error connect_error_ GUARDED_BY(mutex_);         ///< why there is no link_
  unsigned tries_ GUARDED_BY(mutex_) = 0;          ///< finished attempts to open it
  std::vector<DomainRun> domains_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false; ///< link_ is broken
  bool list_stale_ GUARDED_BY(mutex_) = false;
  unsigned users_ GUARDED_BY(mutex_) = 1;
  bool ended_ GUARDED_BY(mutex_) = false; ///< the thread has finished
};

} // namespace vmemfs::libvirt
