// SPDX-License-Identifier: MIT
// State that all VMs of the driver `kvmi` share within one mount: the hubs, one for each endpoint.
#pragma once

#include "core/error.h"
#include "driver/driver_runtime.h"
#include "drivers/kvmi/hub/hub.h"
#include "util/mutex.h"

#include <map>
#include <memory>
#include <string>

namespace vmemfs::kvmi {

/// Thread-safe. A hub exists as long as a VM or a discovery uses it.
class KvmiRuntime final : public DriverRuntime {
public:
  /// The hub of this endpoint, opened on first use; it keeps the settings of the first one.
  /// invalid: it has another key.
  [[nodiscard]] Result<std::shared_ptr<Hub>> hub(const HubSettings& settings) EXCLUDES(mutex_);

private:
  Mutex mutex_;                                                       ///< held while a socket is bound
  std::map<std::string, std::weak_ptr<Hub>> hubs_ GUARDED_BY(mutex_); ///< by the text of their endpoint
};

/// The mount's; a new one outside of a mount.
[[nodiscard]] std::shared_ptr<KvmiRuntime> kvmi_runtime(const std::shared_ptr<DriverRuntime>& runtime);

} // namespace vmemfs::kvmi
