// SPDX-License-Identifier: MIT
// The inside of Connection: a thread that opens the connection, keeps the list of domains up to date by
// libvirt's events, and opens it anew when it breaks.
#pragma once

#include "drivers/libvirt/connection.h"
#include "drivers/libvirt/subscribers.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::libvirt {

/// Thread-safe. Outlives its Connection where opening hangs: the thread holds on to it.
class Connection::Keeper : public std::enable_shared_from_this<Connection::Keeper> {
public:
  /// In use. no_memory: no thread to be had.
  static Result<std::shared_ptr<Keeper>> start(const std::string& uri);
  explicit Keeper(std::string uri);

  /// False: it has ended.
  [[nodiscard]] bool begin_use();
  /// When nobody uses it any more the thread ends; waits for that a while only, as opening a connection can't
  /// be cut short.
  void end_use();

  [[nodiscard]] std::optional<ConnectionUri> place() const;
  [[nodiscard]] Result<Link> link() const;
  [[nodiscard]] Result<Link> wait_for_link(std::chrono::milliseconds limit) const;
  [[nodiscard]] std::vector<DomainRun> domains() const;
  [[nodiscard]] std::string host() const;
  [[nodiscard]] Subscribers& subscribers() { return *subscribers_; }

private:
  using Lock = std::unique_lock<std::mutex>;

  void run();
  [[nodiscard]] Result<Link> open() const;
  [[nodiscard]] bool serve(const Link& link);
  [[nodiscard]] std::vector<int> listen(const Link& link);
  static void stop_listening(const Link& link, const std::vector<int>& callbacks);
  [[nodiscard]] bool take_list(const Link& link);
  void note_failure(Error error);
  [[nodiscard]] Error lost() const;

  // On the event loop's thread.
  void on_closed();
  void on_event(const std::string& uuid, DomainEvent event);
  void on_list_changed();
  struct Callbacks;

  const std::string uri_;
  const std::shared_ptr<Subscribers> subscribers_ = std::make_shared<Subscribers>();

  mutable std::mutex mutex_; ///< guards what follows; never held while libvirt is asked
  mutable std::condition_variable changed_;
  Link link_;                   ///< null while there is none
  std::string host_{};          ///< as it calls itself
  std::string canonical_uri_{}; ///< as libvirt has it
  Error connect_error_;         ///< there is no link_
  unsigned tries_ = 0;          ///< to open it that are through
  std::vector<DomainRun> domains_;
  bool closed_ = false; ///< link_ is broken
  bool list_stale_ = false;
  unsigned users_ = 1;
  bool ended_ = false; ///< the thread is through
};

} // namespace vmemfs::libvirt
