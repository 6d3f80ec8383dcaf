// SPDX-License-Identifier: MIT
// The connection that is used if the user names none, by libvirt's own rules: libvirt.org/uri.html, "Default
// URI choice". Thread-safe, as nothing here changes the environment.
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection/connection_uri.h"

#include <string>
#include <string_view>

namespace vmemfs::libvirt {

/// The user's choice: $LIBVIRT_DEFAULT_URI, otherwise `uri_default` of libvirt.conf; empty: none.
///
/// not_permitted: the environment names a URI that runs a command (runs_command()), or others than the user
/// and root can write libvirt.conf.
[[nodiscard]] Result<std::string> chosen_uri();

/// False if the aliases of libvirt.conf must not be resolved, because others than the user and root can write
/// it.
[[nodiscard]] bool aliases_trusted();

struct DefaultConnection {
  std::string uri;
  bool listens; ///< false: it is on this host and no daemon listens; connecting does not start one
};

/// The connection for discovery if the user names none: the chosen one, otherwise this host's for Xen or
/// QEMU; the system's for root, the user's own for everybody else. Errors as those of chosen_uri().
[[nodiscard]] Result<DefaultConnection> default_connection();

/// The value of `uri_default` in the text of a libvirt.conf; empty: it has none.
[[nodiscard]] std::string uri_default_in(std::string_view conf);

/// The directory of the daemon's socket if the URI has no `socket`; empty: unknown.
[[nodiscard]] std::string socket_directory(const ConnectionUri& uri);

} // namespace vmemfs::libvirt
