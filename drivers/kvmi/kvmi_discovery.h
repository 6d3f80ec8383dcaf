// SPDX-License-Identifier: MIT
// Discovery of the VMs that have connected to an endpoint.
#pragma once

#include "driver/discovery.h"
#include "driver/params.h"
#include "drivers/kvmi/kvmi_runtime.h"

#include <chrono>
#include <memory>
#include <utility>

namespace vmemfs::kvmi {

/// Not thread-safe. Listens from the first scan on, which waits for a VM to connect; a scan asks no VM.
class KvmiDiscovery final : public Discovery {
public:
  KvmiDiscovery(Params params, std::shared_ptr<KvmiRuntime> runtime)
      : params_{std::move(params)}, runtime_{std::move(runtime)} {}

  void begin(std::chrono::steady_clock::time_point patience) override;
  Result<std::vector<FoundVm>> scan() override;

private:
  [[nodiscard]] Result<void> listen();

  const Params params_;
  const std::shared_ptr<KvmiRuntime> runtime_;
  std::shared_ptr<Hub> hub_;
  std::chrono::steady_clock::time_point patience_{}; ///< how long a scan may wait for the first VM
};

} // namespace vmemfs::kvmi
