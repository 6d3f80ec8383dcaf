// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/connection.h"

#include "drivers/libvirt/connection/connection_keeper.h"

#include <utility>

namespace vmemfs::libvirt {

Connection::Connection(std::string uri, std::shared_ptr<ConnectionKeeper> keeper,
                       std::shared_ptr<const void> event_loop)
    : event_loop_{std::move(event_loop)}, uri_{std::move(uri)}, keeper_{std::move(keeper)} {}

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
