// SPDX-License-Identifier: MIT
// Discovery of this host's domains, except domain 0.
#pragma once

#include "driver/discovery.h"
#include "drivers/xen/handles.h"
#include "drivers/xen/store.h"

#include <optional>

namespace vmemfs::xen {

/// Lists the domains only after xenstore has reported a change. Not thread-safe.
class XenDiscovery final : public Discovery {
public:
  Result<std::vector<FoundVm>> scan() override;

private:
  Result<void> connect();
  Result<bool> domains_changed();
  Result<void> list();

  Control control_;
  std::optional<Store> store_;
  bool unfinished_ = true; ///< some listed domains have to be checked again
  std::vector<FoundVm> found_;
};

} // namespace vmemfs::xen
