// SPDX-License-Identifier: MIT
// The connection that is used if the user names none, by libvirt's own rules: libvirt.org/uri.html, "Default
// URI choice". Thread-safe, as nothing here changes the environment.
#pragma once

#include "drivers/libvirt/connection/connection_uri.h"

#include <string>
#include <string_view>

namespace vmemfs::libvirt {

/// The user's choice: $LIBVIRT_DEFAULT_URI, otherwise `uri_default` of libvirt.conf; empty: none.
[[nodiscard]] std::string chosen_uri();

struct DefaultConnection {
  std::string uri;
  bool listens; ///< false: it is on this host and no daemon listens; connecting does not start one
};

/// The connection for discovery if the user names none: the chosen one, otherwise this host's for Xen or
/// QEMU; the system's for root, the user's own for everybody else.
[[nodiscard]] DefaultConnection default_connection();

/// The value of `uri_default` in the text of a libvirt.conf; empty: it has none.
[[nodiscard]] std::string uri_default_in(std::string_view conf);

/// The directory of the daemon's socket if the URI has no `socket`; empty: unknown.
[[nodiscard]] std::string socket_directory(const ConnectionUri& uri);

} // namespace vmemfs::libvirt
