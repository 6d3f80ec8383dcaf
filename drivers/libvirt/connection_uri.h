// SPDX-License-Identifier: MIT
// What a connection's URI says of where it leads. Pure functions, thread-safe.
//
// Form: DRIVER[+TRANSPORT]://[USER@][HOST][:PORT]/PATH[?KEY=VALUE&...], see libvirt.org/uri.html. libvirt
// itself reads it again and is the judge of what is wrong with it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::libvirt {

struct ConnectionUri {
  std::string driver;    ///< qemu, xen, test, ...
  std::string transport; ///< unix, ssh, tcp, ...; empty: not given
  std::string host;      ///< empty: this one
  std::string path;      ///< with its slash: /system
  std::string socket;    ///< value of `socket` in the query; empty: not given

  /// Its VMs are this host's, for sure.
  [[nodiscard]] bool local() const { return host.empty() && (transport.empty() || transport == "unix"); }
};

/// Nothing where it has not that form: an alias of libvirt.conf, or nonsense.
[[nodiscard]] std::optional<ConnectionUri> parse_uri(std::string_view text);

/// The same connection, but ssh gives up where it would have to ask something on a terminal (`no_tty`).
[[nodiscard]] std::string without_prompts(std::string uri);

/// For messages: what to call the connection of this URI, which may be empty.
[[nodiscard]] std::string name_of_uri(std::string_view uri);

} // namespace vmemfs::libvirt
