// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_runtime.h"

#include "core/text.h"

#include <fmt/format.h>

namespace vmemfs::kvmi {

Result<std::shared_ptr<Hub>> KvmiRuntime::hub(const HubSettings& settings) {
  const std::string name = settings.endpoint.text();
  const MutexLock lock{mutex_};
  if (auto known = hubs_[name].lock()) {
    if (known->settings().secret != settings.secret) {
      return fail(
          ErrorKind::invalid, "kvmi",
          fmt::format("{} is in use with another key=; use the same one for all its VMs", printable(name)));
    }
    return known;
  }
  auto opened = Hub::open(settings);
  if (opened) {
    hubs_[name] = *opened;
  }
  return opened;
}

std::shared_ptr<KvmiRuntime> kvmi_runtime(const std::shared_ptr<DriverRuntime>& runtime) {
  return runtime != nullptr ? std::static_pointer_cast<KvmiRuntime>(runtime)
                            : std::make_shared<KvmiRuntime>();
}

} // namespace vmemfs::kvmi
