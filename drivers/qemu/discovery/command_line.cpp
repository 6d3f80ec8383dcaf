// SPDX-License-Identifier: MIT
#include "drivers/qemu/discovery/command_line.h"

#include "core/text.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// Keys and values of one option's argument.
using Options = std::map<std::string, std::string, std::less<>>;

/// Removes the next item from the front of `text`, up to a single comma. A double comma means one comma.
std::string take_piece(std::string_view& text) {
  std::string piece;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    if (text[i] == ',') {
      if (i + 1 >= text.size() || text[i + 1] != ',') {
        break;
      }
      ++i;
    }
    piece += text[i];
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  return piece;
}

/// Parses "VALUE,key=value,flag,noflag" as QEMU does: a first item without "=" has `implied_key`. If a key is
/// given twice, the last value counts.
Options parse_options(std::string_view text, std::string_view implied_key) {
  Options options;
  for (bool first = true; !text.empty(); first = false) {
    const std::string piece = take_piece(text);
    const std::size_t equals = piece.find('=');
    if (equals != std::string::npos) {
      options[piece.substr(0, equals)] = piece.substr(equals + 1);
    } else if (first && !implied_key.empty()) {
      options[std::string{implied_key}] = piece;
    } else if (piece.starts_with("no") && piece.size() > 2) { // "nowait"; no key here begins with "no"
      options[piece.substr(2)] = "off";
    } else {
      options[piece] = "on";
    }
  }
  return options;
}

std::string value_of(const Options& options, std::string_view key) {
  const auto found = options.find(key);
  return found == options.end() ? std::string{} : found->second;
}

bool is_on(const Options& options, std::string_view key) {
  const std::string value = value_of(options, key);
  return value == "on" || value == "yes" || value == "true" || value == "y";
}

/// Bytes from "-m"; a number without a unit is in MiB.
std::uint64_t memory_size(const std::string& text) {
  if (const auto mebibytes = parse_u64(text)) {
    return *mebibytes < (std::uint64_t{1} << 43) ? *mebibytes << 20 : 0;
  }
  return parse_size(text).value_or(0);
}

/// Number of vCPUs from "-smp"; without "cpus" it is the product of the topology's levels.
std::uint32_t vcpu_count(const Options& options) {
  constexpr std::uint64_t kMaxCount = 65536;
  const auto number = [&](std::string_view key) {
    return std::min(parse_u64(value_of(options, key)).value_or(1), kMaxCount);
  };
  if (options.contains("cpus")) {
    return static_cast<std::uint32_t>(number("cpus"));
  }
  std::uint64_t count = 1;
  for (const std::string_view level : {"sockets", "dies", "clusters", "cores", "threads"}) {
    count = std::min(count * number(level), kMaxCount);
  }
  return static_cast<std::uint32_t>(count);
}

/// The listening UNIX socket that a socket chardev's options describe.
std::optional<MonitorSocket> listening_socket(const Options& options) {
  if (!is_on(options, "server") || is_on(options, "abstract")) {
    return std::nullopt;
  }
  if (std::string path = value_of(options, "path"); !path.empty()) {
    return MonitorSocket{std::move(path), std::nullopt};
  }
  if (const auto fd = parse_u64(value_of(options, "fd")); fd && *fd <= 0x7fffffff) {
    return MonitorSocket{{}, static_cast<int>(*fd)};
  }
  return std::nullopt;
}

class Parser {
public:
  /// Handles one option; returns false if it took no argument.
  bool take(std::string_view option, std::string_view argument) {
    if (option == "s") {
      result_.gdbstub = true;
      return false;
    }
    if (option == "S") {
      result_.stopped = true;
      return false;
    }
    if (option == "name") {
      result_.name = value_of(parse_options(argument, "guest"), "guest");
    } else if (option == "uuid") {
      result_.uuid = argument;
    } else if (option == "machine" || option == "M") {
      take_machine(parse_options(argument, "type"));
    } else if (option == "m") {
      take_memory(parse_options(argument, "size"));
    } else if (option == "smp") {
      result_.vcpus = vcpu_count(parse_options(argument, "cpus"));
    } else if (option == "gdb") {
      result_.gdbstub = true;
    } else if (option == "qmp" || option == "qmp-pretty") {
      take_qmp(argument);
    } else if (option == "chardev") {
      take_chardev(parse_options(argument, "backend"));
    } else if (option == "mon") {
      take_monitor(parse_options(argument, "chardev"));
    } else {
      return false; // its argument, if it has one, does not begin with a dash and is skipped
    }
    return true;
  }

  QemuCommandLine finish() {
    for (const auto& monitor : monitors_) {
      const auto chardev = chardevs_.find(monitor.chardev);
      const auto& socket = chardev != chardevs_.end() ? chardev->second : monitor.socket;
      if (socket && result_.qmp.size() == kMaxMonitors) {
        ++result_.more_qmp;
      } else if (socket) {
        result_.qmp.push_back(*socket);
        result_.qmp.back().libvirts = monitor.chardev == "charmonitor";
      }
    }
    return std::move(result_);
  }

private:
  struct QmpMonitor {
    std::string chardev; ///< name of a chardev, which may be defined later; if empty, `socket` is used
    std::optional<MonitorSocket> socket;
  };

  void take_machine(const Options& options) {
    if (std::string type = value_of(options, "type"); !type.empty()) {
      result_.machine = std::move(type);
    }
  }

  void take_memory(const Options& options) {
    if (const std::string size = value_of(options, "size"); !size.empty()) {
      result_.memory_bytes = memory_size(size);
    }
  }

  void take_qmp(std::string_view argument) {
    constexpr std::string_view kChardev = "chardev:";
    constexpr std::string_view kUnix = "unix:";
    if (argument.starts_with(kChardev)) {
      monitors_.push_back({std::string{argument.substr(kChardev.size())}, std::nullopt});
    } else if (argument.starts_with(kUnix)) {
      const Options options = parse_options(argument.substr(kUnix.size()), "path");
      monitors_.push_back({{}, listening_socket(options)});
    }
  }

  void take_chardev(const Options& options) {
    if (value_of(options, "backend") == "socket") {
      chardevs_[value_of(options, "id")] = listening_socket(options);
    }
  }

  void take_monitor(const Options& options) {
    if (value_of(options, "mode") == "control") {
      monitors_.push_back({value_of(options, "chardev"), std::nullopt});
    }
  }

  QemuCommandLine result_;
  std::vector<QmpMonitor> monitors_;
  std::map<std::string, std::optional<MonitorSocket>, std::less<>> chardevs_;
};

} // namespace

QemuCommandLine parse_qemu_command_line(std::span<const std::string> arguments) {
  Parser parser;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    std::string_view option = arguments[i];
    if (!option.starts_with('-')) {
      continue; // a disk image, or the argument of an option that is not read here
    }
    option.remove_prefix(option.starts_with("--") ? 2 : 1);
    const std::string_view argument = i + 1 < arguments.size() ? std::string_view{arguments[i + 1]} : "";
    i += parser.take(option, argument) ? 1 : 0;
  }
  return parser.finish();
}

bool is_qemu(std::string_view program) {
  program = program.substr(program.rfind('/') + 1);
  return program.starts_with("qemu-system-") || program == "qemu-kvm" || program == "qemu-kvm (deleted)";
}

} // namespace vmemfs::qemu
