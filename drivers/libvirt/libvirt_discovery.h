// SPDX-License-Identifier: MIT
// Discovery of the domains of a connection. libvirt's events keep the list, so a scan makes no calls.
#pragma once

#include "driver/discovery.h"
#include "driver/params.h"
#include "drivers/libvirt/connection/connections.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace vmemfs::libvirt {

/// Not thread-safe.
class LibvirtDiscovery final : public Discovery {
public:
  /// Without `uri`: see default_connection(); if no daemon listens yet, as soon as one does.
  LibvirtDiscovery(Params params, std::shared_ptr<Connections> connections)
      : params_{std::move(params)}, connections_{std::move(connections)} {}

  void begin(std::chrono::steady_clock::time_point patience) override;

  Result<std::vector<FoundVm>> scan() override;

private:
  using RunId = std::pair<std::string, int>; ///< uuid and id

  [[nodiscard]] Result<void> connect();
  [[nodiscard]] std::string params_of(const DomainRun& run) const;

  const Params params_;
  const std::shared_ptr<Connections> connections_;
  std::chrono::steady_clock::time_point patience_{}; ///< how long a scan may wait for the connection
  std::shared_ptr<Connection> connection_;           ///< null while no daemon listens
  std::map<RunId, std::string> keys_;                ///< of all domains that ran at the last scan
};

} // namespace vmemfs::libvirt
