// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/connection.h"

#include "drivers/libvirt/connection/connection_keeper.h"
#include "drivers/libvirt/connection/event_loop.h"
#include "util/mutex.h"

#include <map>
#include <utility>

namespace vmemfs::libvirt {
namespace {

/// All connections in use. If a connection is released while it is still being opened, which may never end,
/// its keeper stays, and the next user of that URI gets the same keeper.
struct Pool {
  struct Known {
    std::weak_ptr<Connection> connection;
    std::weak_ptr<Connection::Keeper> keeper;
  };
  Mutex mutex;
  std::map<std::string, Known> by_uri GUARDED_BY(mutex);
};

Pool& pool() {
  static Pool pool;
  return pool;
}

} // namespace

Result<std::shared_ptr<Connection>> Connection::to(const std::string& uri) {
  start_event_loop();
  Pool& all = pool();
  const MutexLock lock{all.mutex};
  auto& [known, known_keeper] = all.by_uri[uri];
  if (auto connection = known.lock()) {
    return connection;
  }
  auto keeper = known_keeper.lock();
  if (keeper == nullptr || !keeper->begin_use()) {
    auto started = Keeper::start(uri);
    if (!started) {
      return tl::unexpected{std::move(started.error())};
    }
    keeper = std::move(*started);
    known_keeper = keeper;
  }
  auto connection = std::make_shared<Connection>(uri, std::move(keeper));
  known = connection;
  return connection;
}

Connection::Connection(std::string uri, std::shared_ptr<Keeper> keeper)
    : uri_{std::move(uri)}, keeper_{std::move(keeper)} {}

Connection::~Connection() { keeper_->end_use(); }

std::optional<ConnectionUri> Connection::place() const { return keeper_->place(); }

Result<Link> Connection::link() const { return keeper_->link(); }

Result<Link> Connection::wait_for_link(std::chrono::milliseconds limit) const {
  return keeper_->wait_for_link(limit);
}

std::string Connection::host() const { return keeper_->host(); }

std::vector<DomainRun> Connection::domains() const { return keeper_->domains(); }

Connection::Subscription Connection::subscribe(const DomainRun& run,
                                               std::function<void(DomainEvent)> callback) {
  return Subscription{keeper_->subscribers().add(run, std::move(callback))};
}

} // namespace vmemfs::libvirt
