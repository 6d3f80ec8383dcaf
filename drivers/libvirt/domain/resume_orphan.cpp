// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/resume_orphan.h"

#include "drivers/libvirt/connection/connections.h"
#include "drivers/libvirt/domain/domain.h"
#include "util/log.h"

#include <chrono>
#include <memory>

namespace vmemfs::libvirt {
namespace {

constexpr std::chrono::seconds kForConnection{10};

Result<void> resume(Domain& domain) {
  const auto status = domain.run_status();
  if (!status) {
    return tl::unexpected{status.error()};
  }
  if (status->running || !status->by_command) {
    log::info("libvirt {}: nothing to resume, it is {}", domain.run().uuid, status->detail);
    return {};
  }
  return domain.resume().map([&](const RunStatus&) { log::info("libvirt {}: resumed", domain.run().uuid); });
}

} // namespace

Result<void> resume_orphan(const ResumeTicket& ticket, Connections& connections) {
  const auto connection = connections.to(ticket.uri);
  const auto link = connection.and_then([](const auto& made) { return made->wait_for_link(kForConnection); });
  if (!link) {
    return fail(ErrorKind::busy, kOrigin, link.error().text);
  }
  const auto domain = std::make_shared<Domain>(*connection, ticket.run);
  auto resumed = resume(*domain);
  if (!resumed && resumed.error().kind == ErrorKind::vm_gone) {
    log::info("libvirt {}: it has ended", ticket.run.uuid);
    return {};
  }
  return resumed ? resumed : fail(ErrorKind::busy, kOrigin, resumed.error().text);
}

} // namespace vmemfs::libvirt
