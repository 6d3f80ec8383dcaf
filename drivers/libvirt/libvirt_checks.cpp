// SPDX-License-Identifier: MIT
#include "drivers/libvirt/libvirt_checks.h"

#include "drivers/libvirt/connection/connections.h"
#include "drivers/libvirt/connection/default_uri.h"

#include <chrono>
#include <fmt/format.h>
#include <memory>

namespace vmemfs::libvirt {
namespace {

constexpr std::chrono::seconds kPatience{5};

} // namespace

std::vector<HostCheck> check_default_connection() {
  const auto chosen = default_connection();
  if (!chosen) {
    return {{"domains of libvirt", false, Weight::helpful, chosen.error().message()}};
  }
  const auto& [uri, listens] = *chosen;
  if (!listens) {
    return {{"domains of libvirt", true, Weight::helpful,
             fmt::format("no daemon listens for {}, the default for discovery without --discover", uri)}};
  }
  const auto connections = std::make_shared<Connections>();
  const auto connection = connections->to(uri);
  const auto link = connection.and_then([](const auto& opened) { return opened->wait_for_link(kPatience); });
  if (!link) {
    return {{"domains of libvirt", false, Weight::helpful, link.error().message()}};
  }
  return {{"domains of libvirt", true, Weight::helpful,
           fmt::format("{}: {} running", name_of_uri(uri), (*connection)->domains().size())}};
}

} // namespace vmemfs::libvirt
