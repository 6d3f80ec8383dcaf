// SPDX-License-Identifier: MIT
#include "drivers/kvm/identity/vm_name.h"

#include "core/text.h"

#include <algorithm>
#include <array>

namespace vmemfs::kvm {
namespace {

/// Arguments that are looked at: more than any VMM takes.
constexpr std::size_t kMaxArguments = 4096;

std::string_view file_name(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) {
    path.remove_suffix(kDeleted.size());
  }
  return path.substr(path.rfind('/') + 1);
}

/// The value of `--option VALUE` or `--option=VALUE`; empty if there is none.
std::string_view option(std::span<const std::string> arguments, std::string_view name) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == name && i + 1 < arguments.size()) {
      return arguments[i + 1];
    }
    if (argument.starts_with(name) && argument.substr(name.size()).starts_with('=')) {
      return argument.substr(name.size() + 1);
    }
    if (argument == "--") { // what follows is not the program's own
      break;
    }
  }
  return {};
}

/// The value of KEY in "KEY=VALUE,KEY=VALUE"; `text` itself if it has no keys.
std::string_view value_of(std::string_view text, std::string_view key) {
  for (const std::string_view part : split(text, ',')) {
    if (part.starts_with(key) && part.substr(key.size()).starts_with('=')) {
      return part.substr(key.size() + 1);
    }
  }
  const std::string_view first = text.substr(0, text.find(','));
  return first.find('=') == std::string_view::npos ? first : std::string_view{};
}

/// Of a socket: what is in front of the last dot of its file name; names that all VMs share give none.
std::string_view socket_name(std::string_view path) {
  constexpr auto kCommon = std::to_array<std::string_view>(
      {"api", "clh-api", "cloud-hypervisor", "ch", "crosvm", "firecracker", "socket", "vm", "control"});
  const std::string_view file = file_name(path);
  const std::string_view stem = file.substr(0, file.rfind('.'));
  if (std::ranges::find(kCommon, stem) == kCommon.end()) {
    return stem;
  }
  // Kata and others: a directory for each VM, such as /run/vc/vm/ID/clh-api.sock.
  const std::string_view folder = path.substr(0, path.size() - file.size());
  if (folder.size() < 2) {
    return {};
  }
  constexpr auto kShared = std::to_array<std::string_view>({"run", "tmp", "var", "root", "home", "vm"});
  const std::string_view name = file_name(folder.substr(0, folder.size() - 1));
  return std::ranges::find(kShared, name) == kShared.end() ? name : std::string_view{};
}

std::string_view firecracker(std::span<const std::string> arguments) {
  const std::string_view id = option(arguments, "--id");
  return id == "anonymous-instance" ? std::string_view{} : id;
}

std::string_view cloud_hypervisor(std::span<const std::string> arguments) {
  return socket_name(value_of(option(arguments, "--api-socket"), "path"));
}

std::string_view crosvm(std::span<const std::string> arguments) {
  const std::string_view name = option(arguments, "--name");
  if (!name.empty()) {
    return name;
  }
  const std::string_view by_word = option(arguments, "--socket");
  return socket_name(by_word.empty() ? option(arguments, "-s") : by_word);
}

std::string_view qemu(std::span<const std::string> arguments) {
  const std::string_view one_dash = option(arguments, "-name");
  return value_of(one_dash.empty() ? option(arguments, "--name") : one_dash, "guest");
}

std::string_view any_other(std::span<const std::string> arguments) {
  const std::string_view name = option(arguments, "--name");
  return name.empty() ? firecracker(arguments) : name;
}

struct Program {
  std::string_view start; ///< of the name of its executable
  std::string_view (*name)(std::span<const std::string>);
};

constexpr auto kPrograms = std::to_array<Program>({{"firecracker", firecracker},
                                                   {"cloud-hyperviso", cloud_hypervisor},
                                                   {"crosvm", crosvm},
                                                   {"qemu", qemu}});

} // namespace

std::string name_from_command_line(const VmProgram& program, std::span<const std::string> arguments) {
  const auto used = arguments.first(std::min(arguments.size(), kMaxArguments));
  const std::string_view name =
      program.executable.empty() ? program.short_name : file_name(program.executable);
  for (const Program& known : kPrograms) {
    if (name.starts_with(known.start)) {
      return std::string{known.name(used)};
    }
  }
  return std::string{any_other(used)};
}

} // namespace vmemfs::kvm
