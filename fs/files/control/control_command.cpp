// SPDX-License-Identifier: MIT
#include "fs/files/control/control_command.h"

#include "core/duration.h"
#include "core/text.h"
#include "fs/vm_line.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <span>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::chrono::hours kMaxPause{24};

/// A row of the table. `parse` gets the rest of the line, without surrounding blanks.
template <typename Command> struct Row {
  CommandSyntax syntax;
  Result<Command> (*parse)(const CommandSyntax& syntax, std::string_view arguments);
};

std::vector<std::string_view> words_of(std::string_view arguments) {
  std::vector<std::string_view> words = split(arguments, ' ');
  std::erase_if(words, [](std::string_view word) { return word.empty(); });
  return words;
}

tl::unexpected<Error> wrong(const CommandSyntax& syntax, std::string_view what) {
  return fail(ErrorKind::invalid, "control",
              fmt::format("{}: {}; it is: {}", syntax.name, what, syntax.usage()));
}

tl::unexpected<Error> unknown_argument(const CommandSyntax& syntax, std::string_view argument) {
  return wrong(syntax, fmt::format("'{}' is not understood", printable(argument)));
}

/// A command without arguments.
template <typename Parsed, typename Command>
Result<Command> plain(const CommandSyntax& syntax, std::string_view arguments) {
  if (!arguments.empty()) {
    return wrong(syntax, fmt::format("'{}' is too much", printable(words_of(arguments).front())));
  }
  return Parsed{};
}

Result<VmCommand> parse_pause(const CommandSyntax& syntax, std::string_view line) {
  const auto arguments = words_of(line);
  if (arguments.empty()) {
    return PauseCommand{};
  }
  if (arguments.size() > 1) {
    return wrong(syntax, "only one of these at a time");
  }
  const std::string_view argument = arguments.front();
  if (argument == "hold") {
    return HoldCommand{};
  }
  if (argument == "keep") {
    return PauseCommand{PauseKind::keep, {}};
  }
  constexpr std::string_view kTtl = "ttl=";
  if (!argument.starts_with(kTtl)) {
    return unknown_argument(syntax, argument);
  }
  const auto duration = parse_duration(argument.substr(kTtl.size()));
  if (!duration || duration->count() <= 0 || *duration > kMaxPause) {
    return wrong(syntax, fmt::format("'{}' is not a duration from 1ms to {} ({})",
                                     printable(argument.substr(kTtl.size())), duration_text(kMaxPause),
                                     kDurationForm));
  }
  return PauseCommand{PauseKind::timed, *duration};
}

Result<VmCommand> parse_write(const CommandSyntax& syntax, std::string_view line) {
  const auto arguments = words_of(line);
  if (arguments.size() == 1 && (arguments.front() == "on" || arguments.front() == "off")) {
    return WriteCommand{arguments.front() == "on"};
  }
  return wrong(syntax, arguments.empty() ? "on or off is missing" : "on or off, nothing else");
}

Result<void> set_kernel_mode(const CommandSyntax& syntax, std::string_view mode, CacheCommand& command) {
  if (command.kernel) {
    return wrong(syntax, "kernel is given twice");
  }
  command.kernel = cache_mode(mode);
  if (!command.kernel) {
    return wrong(syntax, fmt::format("'{}' is not auto, on or off", printable(mode)));
  }
  return {};
}

Result<void> add_cache_argument(const CommandSyntax& syntax, std::string_view argument,
                                CacheCommand& command) {
  constexpr std::string_view kSize = "size=";
  constexpr std::string_view kTtl = "ttl=";
  constexpr std::string_view kKernel = "kernel=";
  if (const auto mode = cache_mode(argument)) {
    if (command.mode) {
      return wrong(syntax, "the mode is given twice");
    }
    command.mode = mode;
    return {};
  }
  if (argument.starts_with(kKernel)) {
    return set_kernel_mode(syntax, argument.substr(kKernel.size()), command);
  }
  if (argument.starts_with(kSize) && (command.size || command.fair_share)) {
    return wrong(syntax, "size is given twice");
  }
  if (argument.starts_with(kTtl) && command.ttl) {
    return wrong(syntax, "ttl is given twice");
  }
  if (argument == "size=share") {
    command.fair_share = true;
  } else if (argument.starts_with(kSize)) {
    command.size = parse_size(argument.substr(kSize.size()));
    if (!command.size) {
      return wrong(syntax,
                   fmt::format("'{}' is not a size such as 64M", printable(argument.substr(kSize.size()))));
    }
  } else if (argument.starts_with(kTtl)) {
    command.ttl = parse_duration(argument.substr(kTtl.size()));
    if (!command.ttl || *command.ttl > kMaxPause) {
      return wrong(syntax, fmt::format("'{}' is not a duration up to {} ({})",
                                       printable(argument.substr(kTtl.size())), duration_text(kMaxPause),
                                       kDurationForm));
    }
  } else {
    return unknown_argument(syntax, argument);
  }
  return {};
}

Result<VmCommand> parse_cache(const CommandSyntax& syntax, std::string_view line) {
  const auto arguments = words_of(line);
  if (arguments.empty()) {
    return wrong(syntax, "what about it is missing");
  }
  CacheCommand command;
  for (const std::string_view argument : arguments) {
    if (auto added = add_cache_argument(syntax, argument, command); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  return command;
}

Result<MountCommand> parse_attach(const CommandSyntax& syntax, std::string_view line) {
  if (line.empty()) {
    return wrong(syntax, "the VM is missing");
  }
  auto [spec, problems] = read_vm_line(line);
  if (!problems.empty()) {
    return fail(ErrorKind::invalid, "control",
                fmt::format("attach {}: {}", printable(line), fmt::join(problems, "; ")));
  }
  return AttachVmCommand{std::move(spec)};
}

Result<MountCommand> parse_detach(const CommandSyntax& syntax, std::string_view name) {
  if (name.empty()) {
    return wrong(syntax, "the VM is missing");
  }
  return DetachVmCommand{std::string{name}}; // names may have blanks
}

// The table: `control` of a VM.
constexpr std::array kVmRows{
    Row<VmCommand>{{"pause", "[hold|ttl=DURATION|keep]",
                    "stop the guest's vCPUs; returns when they are stopped", &ControlAbilities::run_control},
                   parse_pause},
    Row<VmCommand>{{"resume", "", "resume the guest, whoever paused it", &ControlAbilities::run_control},
                   plain<ResumeCommand>},
    Row<VmCommand>{{"write", "on|off", "allow or forbid writes to guest memory and registers",
                    &ControlAbilities::writes},
                   parse_write},
    Row<VmCommand>{{"cache", "[auto|on|off] [size=BYTES|size=share] [ttl=DURATION] [kernel=auto|on|off]",
                    "set how pages are cached while the guest is paused"},
                   parse_cache},
    Row<VmCommand>{{"refresh", "", "read the memory map again"}, plain<RefreshCommand>},
    Row<VmCommand>{{"flush", "", "drop all cached pages, the kernel's too"}, plain<FlushCommand>},
    Row<VmCommand>{{"status", "", "give the status, as a read does"}, plain<StatusCommand>},
    Row<VmCommand>{{"detach", "", "release the VM as if it had ended"}, plain<DetachCommand>},
};

// The table: `.vmemfs/control`.
constexpr std::array kMountRows{
    Row<MountCommand>{{"attach", kVmLineForm, "attach a VM, as --vm does"}, parse_attach},
    Row<MountCommand>{{"detach", "NAME", "release a VM as if it had ended"}, parse_detach},
    Row<MountCommand>{{"status", "", "list VMs, refusals and errors, as a read does"}, plain<StatusCommand>},
};

template <typename Command>
Result<Command> parse(std::span<const Row<Command>> table, std::string_view line) {
  const std::string_view name = line.substr(0, line.find(' '));
  std::string names;
  for (const Row<Command>& row : table) {
    if (row.syntax.name == name) {
      return row.parse(row.syntax, trim(line.substr(name.size())));
    }
    names += fmt::format(" {}", row.syntax.name);
  }
  return fail(ErrorKind::invalid, "control",
              fmt::format("there is no command '{}'; there are:{}", printable(name), names));
}

template <typename Command> std::vector<CommandSyntax> commands(std::span<const Row<Command>> table) {
  std::vector<CommandSyntax> all;
  std::ranges::transform(table, std::back_inserter(all), &Row<Command>::syntax);
  return all;
}

std::string command_line_of(const CommandSyntax& command) {
  return fmt::format("command {}\n", command.usage());
}

} // namespace

std::string CommandSyntax::usage() const {
  return fmt::format("{}{}{}", name, arguments.empty() ? "" : " ", arguments);
}

Result<VmCommand> parse_vm_command(std::string_view line) { return parse<VmCommand>(kVmRows, line); }

Result<MountCommand> parse_mount_command(std::string_view line) {
  return parse<MountCommand>(kMountRows, line);
}

std::vector<CommandSyntax> vm_commands() { return commands<VmCommand>(kVmRows); }

std::vector<CommandSyntax> mount_commands() { return commands<MountCommand>(kMountRows); }

std::string vm_command_lines(ControlAbilities abilities) {
  std::string lines;
  for (const CommandSyntax& command : vm_commands()) {
    if (command.needs == nullptr || abilities.*command.needs) {
      lines += command_line_of(command);
    }
  }
  return lines;
}

std::string mount_command_lines() {
  std::string lines;
  for (const CommandSyntax& command : mount_commands()) {
    lines += command_line_of(command);
  }
  return lines;
}

} // namespace vmemfs
