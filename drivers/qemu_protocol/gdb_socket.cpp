// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/gdb_socket.h"

#include "core/text.h"
#include "drivers/qemu_protocol/option_text.h"
#include "host/process.h"
#include "util/users/accounts.h"
#include "util/work_limit.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <set>
#include <sys/stat.h>
#include <system_error>

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

/// The names under which a process may know the file: nothing is looked up in the file system for a name that
/// a process gives, which may lie in one that never answers.
std::set<std::string> names_of(const std::string& path) {
  std::error_code error;
  std::set<std::string> names{std::filesystem::absolute(path, error).lexically_normal()};
  names.insert(std::filesystem::canonical(path, error)); // empty if it is not there
  names.erase("");
  return names;
}

/// As this process would name it, if both have the same root.
std::string absolute_for(pid_t pid, const std::string& path) {
  std::filesystem::path absolute{path};
  if (absolute.is_relative()) {
    std::error_code error;
    absolute = std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", pid), error) / absolute;
  }
  return absolute.lexically_normal();
}

bool is_believed(pid_t pid, const struct stat& socket) {
  const auto owner = process_owner(pid);
  return owner && (*owner == socket.st_uid || is_own_or_root(*owner));
}

} // namespace

std::vector<std::string> gdb_socket_paths(std::span<const std::string> arguments) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kChardev = "chardev:";
  constexpr std::size_t kMaxDevices = 4; // QEMU has one
  std::vector<std::string> paths;
  auto devices = arguments_of("gdb", arguments);
  devices.resize(std::min(devices.size(), kMaxDevices));
  for (const std::string_view device : devices) {
    if (device.starts_with(kUnix)) {
      paths.push_back(qemu::value_of(qemu::parse_options(device.substr(kUnix.size()), "path"), "path"));
    } else if (device.starts_with(kChardev)) {
      for (const std::string_view chardev : arguments_of("chardev", arguments)) {
        const qemu::Options options = qemu::parse_options(chardev, "backend");
        if (qemu::value_of(options, "id") == device.substr(kChardev.size())) {
          paths.push_back(qemu::value_of(options, "path"));
        }
      }
    }
  }
  return paths;
}

Result<void> refuse_gdb_socket(const std::string& path, std::string_view origin) {
  struct stat socket {};
  if (::stat(path.c_str(), &socket) != 0 || !S_ISSOCK(socket.st_mode)) {
    return {};
  }
  const auto names = names_of(path);
  for (const pid_t pid : list_pids()) {
    if (WorkLimit::over()) {
      return WorkLimit::exceeded(origin);
    }
    if (!is_believed(pid, socket)) {
      continue;
    }
    const auto arguments = command_line(pid).value_or(std::vector<std::string>{}); // it may have ended
    for (const std::string& gdb_path : gdb_socket_paths(arguments)) {
      if (names.contains(absolute_for(pid, gdb_path))) {
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
