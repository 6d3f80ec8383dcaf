// SPDX-License-Identifier: MIT
// Finds the domains of this host, domain 0 left out.
#pragma once

#include "driver/discovery.h"
#include "drivers/xen/handles.h"
#include "drivers/xen/store.h"

#include <optional>

namespace vmemfs::xen {

/// xenstore tells of domains that come and go; only then they are listed anew. Not thread-safe.
class XenDiscovery final : public Discovery {
public:
  Result<std::vector<FoundVm>> scan() override;

private:
  Result<void> connect();
  Result<bool> domains_changed();
  Result<void> list();

  Control control_;
  std::optional<Store> store_;
  bool unfinished_ = true; ///< something that was listed is to be looked at again
  std::vector<FoundVm> found_;
};

} // namespace vmemfs::xen
