// SPDX-License-Identifier: MIT
// The domain that a user's text names.
#pragma once

#include "drivers/xen/state/domain_info.h"
#include "drivers/xen/store.h"

#include <string_view>

namespace vmemfs::xen {

/// By id, uuid or name, in this order. Domain 0 is not accepted: it cannot map its own memory as foreign.
/// invalid: several domains have that name.
[[nodiscard]] Result<DomainInfo> find_domain(xc_interface* control, const Store& store,
                                             std::string_view wanted);

/// FoundVm::key and VmIdentity::key of a domain.
[[nodiscard]] std::string key_of(const DomainInfo& domain);

} // namespace vmemfs::xen
