// SPDX-License-Identifier: MIT
// The parts of a connection's URI. Pure functions, thread-safe.
//
// Form: DRIVER[+TRANSPORT]://[USER@][HOST][:PORT]/PATH[?KEY=VALUE&...], see libvirt.org/uri.html. libvirt
// parses the URI again and decides whether it is valid.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::libvirt {

struct ConnectionUri {
  std::string driver;    ///< qemu, xen, test, ...
  std::string transport; ///< unix, ssh, tcp, ...; empty: not given
  std::string host;      ///< empty: this one
  std::string path;      ///< with its slash, such as /system
  std::string socket;    ///< value of `socket` in the query; empty: not given

  /// Its VMs certainly run on this host.
  [[nodiscard]] bool local() const { return host.empty() && (transport.empty() || transport == "unix"); }
};

/// Nothing if the text does not have that form: an alias of libvirt.conf, or invalid.
[[nodiscard]] std::optional<ConnectionUri> parse_uri(std::string_view text);

/// True if opening this connection runs a program that the URI names: the transport `ext`, or a `command`
/// or `netcat` in the query. True if in doubt; false for an alias.
[[nodiscard]] bool runs_command(std::string_view uri);

/// The same connection, but ssh fails instead of prompting on a terminal (`no_tty`).
[[nodiscard]] std::string without_prompts(std::string uri);

/// For messages: the name of the connection with this URI, which may be empty.
[[nodiscard]] std::string name_of_uri(std::string_view uri);

} // namespace vmemfs::libvirt
