// SPDX-License-Identifier: MIT
#include "drivers/qemu/discovery/command_line.h"

#include "core/text.h"
#include "drivers/qemu/discovery/monitor_backend.h"
#include "drivers/qemu_protocol/option_text.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// QEMU's id for the chardev of -s, of -gdb and of the monitor command gdbserver, if it creates one for them.
constexpr std::string_view kGdbstubChardev = "gdb";

/// Bytes from "-m"; a number without a unit is in MiB.
std::uint64_t memory_size(const std::string& text) {
  if (const auto mebibytes = parse_u64(text)) {
    return *mebibytes < (std::uint64_t{1} << 43) ? *mebibytes << 20 : 0;
  }
  return parse_size(text).value_or(0);
}

struct VcpuCounts {
  std::uint64_t at_start;
  std::uint64_t max;
};

/// Numbers of vCPUs from "-smp"; what it does not have is the product of the topology's levels.
VcpuCounts vcpu_counts(const Options& options) {
  constexpr std::uint64_t kMaxCount = 65536;
  const auto number = [&](std::string_view key) {
    return std::min(parse_u64(value_of(options, key)).value_or(1), kMaxCount);
  };
  std::uint64_t product = 1;
  for (const std::string_view level : {"sockets", "dies", "clusters", "cores", "threads"}) {
    product = std::min(product * number(level), kMaxCount);
  }
  const std::uint64_t at_start = options.contains("cpus")      ? number("cpus")
                                 : options.contains("maxcpus") ? number("maxcpus")
                                                               : product;
  return {at_start, options.contains("maxcpus") ? number("maxcpus") : std::max(at_start, product)};
}

class Parser {
public:
  /// Handles one option; returns false if it took no argument.
  bool take(std::string_view option, std::string_view argument) {
    if (option == "s") {
      result_.gdbstub = "tcp::1234";
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
      const VcpuCounts counts = vcpu_counts(parse_options(argument, "cpus"));
      result_.vcpus = static_cast<std::uint32_t>(counts.at_start);
      result_.more_vcpus = counts.max > counts.at_start;
    } else if (option == "gdb") {
      result_.gdbstub = argument == "none" ? "" : argument;
    } else if (option == "qmp" || option == "qmp-pretty") {
      take_qmp(argument);
    } else if (option == "chardev") {
      take_chardev(parse_options(argument, "backend"));
    } else if (option == "mon") {
      take_monitor(parse_options(argument, "chardev"));
    } else if (option == "chroot" || option == "run-with") {
      chrooted_ = chrooted_ || option == "chroot" || parse_options(argument, "").contains("chroot");
    } else if (option == "readconfig") {
      result_.reads_config = true;
    } else {
      return false; // its argument, if it has one, does not begin with a dash and is skipped
    }
    return true;
  }

  QemuCommandLine finish() {
    for (const auto& monitor : monitors_) {
      const auto chardev = chardevs_.find(monitor.chardev);
      if (monitor.backend) {
        add(*monitor.backend, false);
      } else if (chardev != chardevs_.end()) {
        add(chardev->second, monitor.chardev == "charmonitor");
      }
    }
    list_gdbstub_chardevs();
    return std::move(result_);
  }

private:
  struct QmpMonitor {
    std::string chardev; ///< of a chardev, which may be defined later; not used if there is a `backend`
    std::optional<MonitorBackend> backend;
  };

  void add(const MonitorBackend& backend, bool libvirts) {
    if (!backend.socket) {
      if (result_.unusable_qmp.size() < kMaxMonitors) {
        result_.unusable_qmp.push_back(backend.unusable);
      }
      return;
    }
    if (result_.qmp.size() == kMaxMonitors) {
      ++result_.more_qmp;
      return;
    }
    result_.qmp.push_back(*backend.socket);
    result_.qmp.back().libvirts = libvirts;
    result_.qmp.back().chrooted = chrooted_;
  }

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
    if (argument.starts_with(kChardev)) {
      monitors_.push_back({std::string{argument.substr(kChardev.size())}, std::nullopt});
    } else {
      monitors_.push_back({{}, monitor_backend(options_of_short_form(argument))});
    }
  }

  void take_chardev(const Options& options) {
    const std::string id = value_of(options, "id");
    has_gdb_chardev_ |= id == kGdbstubChardev;
    chardevs_[id] = monitor_backend(options);
  }

  void take_monitor(const Options& options) {
    if (value_of(options, "mode") == "control") {
      monitors_.push_back({value_of(options, "chardev"), std::nullopt});
    }
  }

  /// A chardev that the user called "gdb" may be that of a serial port: then QEMU cannot create one of that
  /// name, and only -gdb can have put the stub on it.
  void list_gdbstub_chardevs() {
    constexpr std::string_view kChardev = "chardev:";
    if (result_.gdbstub.starts_with(kChardev)) {
      result_.gdbstub_chardevs.push_back(result_.gdbstub.substr(kChardev.size()));
    }
    if (!has_gdb_chardev_) {
      result_.gdbstub_chardevs.emplace_back(kGdbstubChardev);
    }
  }

  QemuCommandLine result_;
  bool has_gdb_chardev_ = false; ///< by -chardev
  std::vector<QmpMonitor> monitors_;
  std::map<std::string, MonitorBackend, std::less<>> chardevs_;
  bool chrooted_ = false;
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
