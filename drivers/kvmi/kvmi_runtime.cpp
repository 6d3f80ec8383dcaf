// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_runtime.h"

#include "core/text.h"

#include <fmt/format.h>

namespace vmemfs::kvmi {

Result<std::shared_ptr<Hub>> KvmiRuntime::hub(const HubSettings& settings) {
  const std::string name = settings.endpoint.text();
  const MutexLock lock{mutex_};
  if (const auto known = hubs_.find(name); known != hubs_.end()) {
    const HubSettings& now = known->second->settings();
    if (now == settings) {
      return known->second;
    }
    if (known->second.use_count() == 1) { // only here: nobody else can get it meanwhile
      hubs_.erase(known);
    } else if (now.secret == settings.secret) {
      return known->second;
    } else {
      return fail(
          ErrorKind::invalid, "kvmi",
          fmt::format("{} is in use with another key=; use the same one for all its VMs", printable(name)));
    }
  }
  if (hubs_.size() >= kMaxHubs) {
    return fail(ErrorKind::busy, "kvmi",
                fmt::format("cannot listen at {}: this mount listens at {} places already; mount again",
                            printable(name), kMaxHubs));
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
