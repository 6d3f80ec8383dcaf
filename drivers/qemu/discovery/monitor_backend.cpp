// SPDX-License-Identifier: MIT
#include "drivers/qemu/discovery/monitor_backend.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::size_t kShown = 108; ///< the maximum length of a socket's path

/// The place of a socket, for the user.
std::string place_of(const Options& options) {
  if (const std::string path = value_of(options, "path"); !path.empty()) {
    return fmt::format("'{}'", printable(path, kShown));
  }
  if (const std::string fd = value_of(options, "fd"); !fd.empty()) {
    return fmt::format("descriptor {}", printable(fd, kShown));
  }
  return fmt::format("'{}:{}'", printable(value_of(options, "host"), kShown),
                     printable(value_of(options, "port"), kShown));
}

/// What QEMU speaks on the socket beside QMP, or who connects to whom; empty if it is usable.
std::string why_not_plain(const Options& options) {
  if (!is_on(options, "server")) {
    return fmt::format("connects to {} by itself, as it was started without server=on", place_of(options));
  }
  for (const std::string_view protocol : {"telnet", "tn3270", "websocket"}) {
    if (is_on(options, protocol)) {
      return fmt::format("on {} uses the protocol {}, which vmemfs does not speak", place_of(options),
                         protocol);
    }
  }
  if (options.contains("tls-creds")) {
    return fmt::format("on {} is encrypted (tls-creds), which vmemfs does not support", place_of(options));
  }
  return {};
}

std::optional<std::uint16_t> port_of(const std::string& text) {
  const auto port = parse_u64(text);
  return port && *port != 0 && *port <= UINT16_MAX ? std::optional{static_cast<std::uint16_t>(*port)}
                                                   : std::nullopt;
}

MonitorBackend tcp_backend(const Options& options) {
  const auto first = port_of(value_of(options, "port"));
  if (!first) {
    return {{},
            fmt::format("is on the TCP port {}, which the command line does not have as a number",
                        place_of(options))};
  }
  const auto last = port_of(value_of(options, "to")).value_or(*first);
  MonitorSocket socket;
  socket.tcp = TcpPlace{value_of(options, "host"), *first, std::max(*first, last)};
  return {std::move(socket), {}};
}

MonitorBackend socket_backend(const Options& options) {
  if (std::string why = why_not_plain(options); !why.empty()) {
    return {{}, std::move(why)};
  }
  MonitorSocket socket;
  socket.path = value_of(options, "path");
  if (!socket.path.empty()) {
    socket.abstract = is_on(options, "abstract");
    socket.padded = socket.abstract && is_off(options, "tight");
    return {std::move(socket), {}};
  }
  if (const std::string fd = value_of(options, "fd"); !fd.empty()) {
    const auto number = parse_u64(fd);
    if (!number || *number > INT32_MAX) {
      return {{}, fmt::format("is on {}, which is not a number", place_of(options))};
    }
    socket.fd = static_cast<int>(*number);
    return {std::move(socket), {}};
  }
  return tcp_backend(options);
}

struct UnusableBackend {
  std::string_view backend;
  std::string_view why; ///< follows "its QMP monitor"
};

constexpr std::array kUnusable{
    UnusableBackend{"pty", "is on a pty, where any other program that reads may get the answers"},
    UnusableBackend{"stdio", "is on QEMU's standard input and output, which belong to the program that "
                             "started it"},
    UnusableBackend{"pipe", "is on a pipe, where any other program that reads may get the answers"},
    UnusableBackend{"file", "writes to a file and takes no commands from it"},
    UnusableBackend{"vc", "is a console in QEMU's display"},
    UnusableBackend{"null", "goes nowhere (null)"},
};

} // namespace

MonitorBackend monitor_backend(const Options& chardev) {
  const std::string backend = value_of(chardev, "backend");
  if (backend == "socket") {
    return socket_backend(chardev);
  }
  const auto* const known = std::ranges::find(kUnusable, backend, &UnusableBackend::backend);
  if (known != kUnusable.end()) {
    return {{}, std::string{known->why}};
  }
  return {{}, fmt::format("is on the character device '{}', which is not a socket", printable(backend))};
}

Options options_of_short_form(std::string_view text) {
  constexpr std::string_view kMux = "mon:";
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kMux)) {
    text.remove_prefix(kMux.size());
  }
  if (text.starts_with(kUnix)) {
    Options options = parse_options(text.substr(kUnix.size()), "path");
    options["backend"] = "socket";
    return options;
  }
  const std::string_view kind = text.substr(0, text.find(':'));
  for (const std::string_view protocol : {"tcp", "telnet", "tn3270", "websocket"}) {
    if (kind != protocol || kind.size() == text.size()) {
      continue;
    }
    text.remove_prefix(kind.size() + 1);
    const std::string_view host = text.substr(0, std::min(text.find(':'), text.size()));
    text.remove_prefix(std::min(host.size() + 1, text.size()));
    Options options = parse_options(text, "port");
    options["backend"] = "socket";
    options["host"] = host;
    if (protocol != "tcp") {
      options[std::string{protocol}] = "on";
    }
    return options;
  }
  return {{"backend", std::string{kind}}};
}

} // namespace vmemfs::qemu
