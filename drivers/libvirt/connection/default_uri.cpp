// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/default_uri.h"

#include "core/text.h"
#include "drivers/libvirt/connection/handles.h"
#include "util/users/trusted_file.h"

#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::libvirt {
namespace {

constexpr const char* kVariable = "LIBVIRT_DEFAULT_URI";

std::string environment(const char* name) {
  const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nothing here changes it
  return value != nullptr ? value : "";
}

/// $NAME/below, otherwise ~/below_home/below; empty if neither variable is set.
std::string user_directory(const char* name, std::string_view below_home, std::string_view below) {
  if (const std::string directory = environment(name); !directory.empty()) {
    return fmt::format("{}/{}", directory, below);
  }
  const std::string home = environment("HOME");
  return home.empty() ? "" : fmt::format("{}/{}/{}", home, below_home, below);
}

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_root() { return ::geteuid() == 0; }

/// True if a daemon for this driver only, or one for all drivers, has a socket there.
bool listens(const ConnectionUri& uri) {
  if (!uri.socket.empty()) {
    return is_there(uri.socket);
  }
  const std::string directory = socket_directory(uri);
  const std::string socket = uri.driver == "xen" ? "/virtxend-sock" : "/virtqemud-sock";
  return !directory.empty() && (is_there(directory + socket) || is_there(directory + "/libvirt-sock"));
}

/// In the order in which libvirt tries the drivers.
std::string uri_of_this_host() {
  if (!is_root()) {
    return "qemu:///session";
  }
  return is_there("/dev/xen/privcmd") ? "xen:///system" : "qemu:///system";
}

/// Of the libvirt.conf that libvirt reads, empty if there is none.
Result<std::string> conf_text() {
  const std::string path = is_root() ? "/etc/libvirt/libvirt.conf"
                                     : user_directory("XDG_CONFIG_HOME", ".config", "libvirt/libvirt.conf");
  if (!path.starts_with('/')) { // libvirt would not find it either, or in a directory that is anybody's
    return path.empty() ? Result<std::string>{std::string{}}
                        : fail(ErrorKind::not_permitted, kOrigin,
                               fmt::format("cannot read '{}': it is not an absolute path; correct "
                                           "XDG_CONFIG_HOME or HOME",
                                           printable(path)));
  }
  if (!is_there(path)) {
    return std::string{};
  }
  auto text = read_trusted_settings(path);
  if (!text) {
    return fail(text.error().kind, kOrigin,
                fmt::format("cannot read '{}': {}", printable(path), text.error().text));
  }
  return text;
}

} // namespace

std::string uri_default_in(std::string_view conf) {
  for (std::string_view line : split(conf, '\n')) {
    constexpr std::string_view kKey = "uri_default";
    line = trim(line);
    if (!line.starts_with(kKey)) {
      continue;
    }
    line = trim(line.substr(kKey.size()));
    if (!line.starts_with('=')) {
      continue;
    }
    line = trim(line.substr(1));
    if (const char quote = line.empty() ? '\0' : line.front(); quote == '"' || quote == '\'') {
      if (const std::size_t end = line.find(quote, 1); end != std::string_view::npos) {
        return std::string{line.substr(1, end - 1)};
      }
    }
  }
  return {};
}

Result<std::string> chosen_uri() {
  if (std::string uri = environment(kVariable); !uri.empty()) {
    if (runs_command(uri)) {
      return fail(ErrorKind::not_permitted, kOrigin,
                  fmt::format("cannot use {} '{}': it runs a command, and the environment may be another "
                              "user's; name it with --discover libvirt:uri=... or in libvirt.conf",
                              kVariable, name_of_uri(uri)));
    }
    return uri;
  }
  return conf_text().map([](const std::string& conf) { return uri_default_in(conf); });
}

bool aliases_trusted() { return conf_text().has_value(); }

Result<DefaultConnection> default_connection() {
  return chosen_uri().map([](std::string uri) {
    if (uri.empty()) {
      uri = uri_of_this_host();
    }
    const auto place = parse_uri(uri);
    const bool has_daemon = place && place->local() && (place->driver == "qemu" || place->driver == "xen");
    const bool is_there = !has_daemon || listens(*place);
    return DefaultConnection{std::move(uri), is_there};
  });
}

std::string socket_directory(const ConnectionUri& uri) {
  if (!uri.socket.empty()) {
    return uri.socket.substr(0, uri.socket.rfind('/'));
  }
  if (uri.path != "/session") {
    return "/run/libvirt";
  }
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  return runtime.empty() ? user_directory("XDG_CACHE_HOME", ".cache", "libvirt") : runtime + "/libvirt";
}

} // namespace vmemfs::libvirt
