#include "drivers/libvirt/connection.h"

#include "drivers/libvirt/connection_keeper.h"
#include "drivers/libvirt/event_loop.h"

#include <map>
#include <mutex>
#include <utility>

namespace vmemfs::libvirt {
namespace {

/// All that are in use, by URI.
struct Pool {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Connection>> connections;
};

Pool& pool() {
  static Pool pool;
  return pool;
}

} // namespace

std::shared_ptr<Connection> Connection::to(const std::string& uri) {
  start_event_loop();
  Pool& all = pool();
  const std::scoped_lock lock{all.mutex};
  std::weak_ptr<Connection>& known = all.connections[uri];
  auto connection = known.lock();
  if (connection == nullptr) {
    connection = std::make_shared<Connection>(uri);
    known = connection;
  }
  return connection;
}

Connection::Connection(const std::string& uri) : uri_{uri}, keeper_{Keeper::start(uri)} {}

Connection::~Connection() { keeper_->stop(); }

std::optional<ConnectionUri> Connection::place() const { return keeper_->place(); }

Result<Link> Connection::link() const { return keeper_->link(); }

Result<Link> Connection::wait_for_link(std::chrono::milliseconds limit) const {
  return keeper_->wait_for_link(limit);
}

std::string Connection::host() const { return keeper_->host(); }

std::vector<DomainRun> Connection::domains() const { return keeper_->domains(); }

Connection::Subscription Connection::subscribe(const DomainRun& run, std::function<void(DomainNews)> tell) {
  return Subscription{keeper_->subscribers().add(run, std::move(tell))};
}

} // namespace vmemfs::libvirt
