// SPDX-License-Identifier: MIT
// Which domain a user means.
#pragma once

#include "drivers/xen/domain_info.h"
#include "drivers/xen/store.h"

#include <string_view>

namespace vmemfs::xen {

/// By id, uuid or name, in this order. Domain 0 can't be meant: it can't map its own memory as a foreign one.
/// invalid: several have that name.
[[nodiscard]] Result<DomainInfo> find_domain(xc_interface* control, const Store& store,
                                             std::string_view wanted);

/// FoundVm::key and VmIdentity::key of a domain.
[[nodiscard]] std::string key_of(const DomainInfo& domain);

} // namespace vmemfs::xen
