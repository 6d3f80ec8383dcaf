// SPDX-License-Identifier: MIT
// libvirt's handles, owned, and its errors as ours.
#pragma once

#include "core/error.h"

#include <libvirt/libvirt.h>
#include <memory>
#include <string>
#include <string_view>

namespace vmemfs::libvirt {

inline constexpr std::string_view kOrigin = "libvirt";

/// An open connection; closed when nobody uses it any more. libvirt's calls may be made on any thread.
using Link = std::shared_ptr<virConnect>;
/// Keeps its connection open.
using DomainHandle = std::shared_ptr<virDomain>;

/// Null stays null, and leaves the error of the call that gave it.
[[nodiscard]] Link adopt(virConnectPtr connection);
[[nodiscard]] DomainHandle adopt(virDomainPtr domain);

/// Text that libvirt has made for us, freed as it wants; empty for null.
[[nodiscard]] std::string taken(char* text);

/// For a call of libvirt that has just failed on this thread: "WHAT: libvirt's words".
[[nodiscard]] tl::unexpected<Error> fail_vir(std::string_view what);

/// Whether that call failed as `code` says (VIR_ERR_...).
[[nodiscard]] bool last_failure_is(int code);

} // namespace vmemfs::libvirt
