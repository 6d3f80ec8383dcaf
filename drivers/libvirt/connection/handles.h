// SPDX-License-Identifier: MIT
// Owning handles for libvirt's objects, and the conversion of its errors.
#pragma once

#include "core/error.h"

#include <libvirt/libvirt.h>
#include <memory>
#include <string>
#include <string_view>

namespace vmemfs::libvirt {

inline constexpr std::string_view kOrigin = "libvirt";

/// An open connection, closed by its last owner. Its functions may be called on any thread.
using Link = std::shared_ptr<virConnect>;
/// Keeps its connection open.
using DomainHandle = std::shared_ptr<virDomain>;

/// Null stays null; the error of the call that returned it is kept.
[[nodiscard]] Link adopt(virConnectPtr connection);
[[nodiscard]] DomainHandle adopt(virDomainPtr domain);

/// Text allocated by libvirt, freed its way; empty for null.
[[nodiscard]] std::string taken(char* text);

/// The error of a call of libvirt that has just failed on this thread: "WHAT: libvirt's message".
[[nodiscard]] tl::unexpected<Error> fail_vir(std::string_view what);

/// True if that call failed with `code` (VIR_ERR_...).
[[nodiscard]] bool last_failure_is(int code);

} // namespace vmemfs::libvirt
