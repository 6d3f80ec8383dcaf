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

/// Thread-safe. Hubs exist until the mount ends, as VMs connect only now and then: one that nobody uses at
/// the moment still takes connections for the next attempt to attach.
class KvmiRuntime final : public DriverRuntime {
public:
  static constexpr std::size_t kMaxHubs = 16;

  /// The hub of this endpoint, opened on first use. One that nobody uses gets the new settings; one that is
  /// in use keeps its own. invalid: that has another key. busy: there are too many.
  [[nodiscard]] Result<std::shared_ptr<Hub>> hub(const HubSettings& settings) EXCLUDES(mutex_);

private:
  Mutex mutex_;                                                         ///< held while a socket is bound
  std::map<std::string, std::shared_ptr<Hub>> hubs_ GUARDED_BY(mutex_); ///< by the text of their endpoint
};

/// The mount's; a new one outside of a mount.
[[nodiscard]] std::shared_ptr<KvmiRuntime> kvmi_runtime(const std::shared_ptr<DriverRuntime>& runtime);

} // namespace vmemfs::kvmi
