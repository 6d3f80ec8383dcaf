// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/gdb_socket.h"

#include "core/text.h"
#include "host/process.h"
#include "util/users/accounts.h"
#include "util/work_limit.h"

#include <fmt/format.h>
#include <span>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace vmemfs {
namespace {

using Arguments = std::span<const std::string>;

/// The arguments of all options of that name, with one dash or two.
std::vector<std::string_view> arguments_of(std::string_view option, Arguments arguments) {
  std::vector<std::string_view> found;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    std::string_view name = arguments[i - 1];
    if (name.starts_with('-')) {
      name.remove_prefix(name.starts_with("--") ? 2 : 1);
      if (name == option) {
        found.emplace_back(arguments[i]);
      }
    }
  }
  return found;
}

/// The value of a key among options with commas between them; empty: it is not there.
std::string_view value_of(std::string_view key, std::string_view options) {
  for (const std::string_view option : split(options, ',')) {
    if (option.starts_with(key) && option.substr(key.size()).starts_with('=')) {
      return option.substr(key.size() + 1);
    }
  }
  return {};
}

/// Paths of the sockets on which a QEMU with these arguments serves GDB.
std::vector<std::string_view> gdb_paths(Arguments arguments) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kChardev = "chardev:";
  std::vector<std::string_view> paths;
  for (const std::string_view device : arguments_of("gdb", arguments)) {
    if (device.starts_with(kUnix)) {
      paths.push_back(device.substr(kUnix.size(), device.find(',') - kUnix.size()));
    } else if (device.starts_with(kChardev)) {
      for (const std::string_view chardev : arguments_of("chardev", arguments)) {
        if (value_of("id", chardev) == device.substr(kChardev.size())) {
          paths.push_back(value_of("path", chardev));
        }
      }
    }
  }
  return paths;
}

bool is_file(const std::string& path, const struct stat& wanted) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino;
}

/// The path is as the process sees it; with another root, as before it had that.
bool leads_to(std::string_view path, pid_t pid, const struct stat& socket) {
  if (path.empty()) {
    return false;
  }
  if (path.front() != '/') {
    return is_file(fmt::format("/proc/{}/cwd/{}", pid, path), socket);
  }
  return is_file(std::string{path}, socket) || is_file(fmt::format("/proc/{}/root{}", pid, path), socket);
}

bool is_believed(pid_t pid, const struct stat& socket) {
  const auto owner = process_owner(pid);
  return owner && (*owner == socket.st_uid || is_own_or_root(*owner));
}

} // namespace

Result<void> refuse_gdb_socket(const std::string& path, std::string_view origin) {
  struct stat socket {};
  if (::stat(path.c_str(), &socket) != 0 || !S_ISSOCK(socket.st_mode)) {
    return {};
  }
  for (const pid_t pid : list_pids()) {
    if (WorkLimit::over()) {
      return WorkLimit::exceeded(origin);
    }
    const auto arguments = command_line(pid);
    if (!arguments) {
      continue;
    }
    for (const std::string_view gdb_path : gdb_paths(*arguments)) {
      if (leads_to(gdb_path, pid, socket) && is_believed(pid, socket)) {
        return fail(
            ErrorKind::invalid, origin,
            fmt::format("{} is the socket on which process {} serves GDB, to which a connection would "
                        "pause the guest; name that of its QMP monitor (-qmp), or use "
                        "gdbstub:address=unix:{}",
                        printable(path), pid, printable(path)));
      }
    }
  }
  return {};
}

} // namespace vmemfs
