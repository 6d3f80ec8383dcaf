// SPDX-License-Identifier: MIT
// Which connection is meant where the user names none, by libvirt's own rules: libvirt.org/uri.html, "Default
// URI choice". Thread-safe, as nothing here changes the environment.
#pragma once

#include "drivers/libvirt/connection_uri.h"

#include <string>
#include <string_view>

namespace vmemfs::libvirt {

/// What somebody chose: $LIBVIRT_DEFAULT_URI, else `uri_default` of libvirt.conf; empty: nobody chose.
[[nodiscard]] std::string chosen_uri();

struct DefaultConnection {
  std::string uri;
  bool listens; ///< false: it is this host's, and no daemon is there; none is started by asking
};

/// The connection in which VMs are looked for if the user says no other: the chosen one, else that of this
/// host: its Xen's or its QEMUs', the system's for root and one's own for everybody else.
[[nodiscard]] DefaultConnection default_connection();

/// The value of `uri_default` in the text of a libvirt.conf; empty: it has none.
[[nodiscard]] std::string uri_default_in(std::string_view conf);

/// The directory where the daemon's socket is without `socket` in the URI; empty: it can't be told.
[[nodiscard]] std::string socket_directory(const ConnectionUri& uri);

} // namespace vmemfs::libvirt
