// SPDX-License-Identifier: MIT
// The commands of both control files, one per line: `control` of a VM and `.vmemfs/control`.
//
// Each is a row of a table in control_command.cpp, from which parser, status, --help and the check of the man
// page take it, and a handler in the class of its file. A new command is a row, a struct and a handler.
#pragma once

#include "core/error.h"
#include "driver/vm_spec.h"
#include "vm/cache/cache_settings.h"
#include "vm/state/pause_ledger.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace vmemfs {

struct StatusCommand {}; ///< of both files

// Of a VM's `control`.
struct PauseCommand {
  PauseKind kind = PauseKind::plain;
  std::chrono::milliseconds for_how_long{0}; ///< of a timed pause
};
struct HoldCommand {};
struct ResumeCommand {};
struct RefreshCommand {};
struct FlushCommand {};
struct DetachCommand {};
struct WriteCommand {
  bool on;
};
/// Settings that are not named do not change.
struct CacheCommand {
  std::optional<CacheMode> mode;
  std::optional<CacheMode> kernel;
  std::optional<std::chrono::milliseconds> ttl;
  std::optional<std::uint64_t> size;
  bool fair_share = false; ///< size=share: the VM gets its share of the mount's cache
};

using VmCommand = std::variant<PauseCommand, HoldCommand, ResumeCommand, RefreshCommand, FlushCommand,
                               StatusCommand, DetachCommand, WriteCommand, CacheCommand>;

// Of `.vmemfs/control`.
struct AttachVmCommand {
  VmSpec spec;
};
struct DetachVmCommand {
  std::string name;
};

using MountCommand = std::variant<AttachVmCommand, DetachVmCommand, StatusCommand>;

/// Parse one line, without surrounding blanks. invalid: the text says what is wrong and what is valid.
[[nodiscard]] Result<VmCommand> parse_vm_command(std::string_view line);
[[nodiscard]] Result<MountCommand> parse_mount_command(std::string_view line);

/// Abilities of a VM that commands need.
struct ControlAbilities {
  bool run_control;
  bool writes;
};

/// The public part of a command's row. Literals.
struct CommandSyntax {
  std::string_view name;
  std::string_view arguments;              ///< as shown to users; empty: none
  std::string_view summary;                ///< one line, imperative
  bool ControlAbilities::*needs = nullptr; ///< only for VMs with this ability; null: for all

  [[nodiscard]] std::string usage() const; ///< name and arguments
};

[[nodiscard]] std::vector<CommandSyntax> vm_commands();
[[nodiscard]] std::vector<CommandSyntax> mount_commands();

/// The commands that such a VM takes, and those of the mount; one per line:
/// "command pause [hold|ttl=DURATION|keep]", ...
[[nodiscard]] std::string vm_command_lines(ControlAbilities abilities);
[[nodiscard]] std::string mount_command_lines();

} // namespace vmemfs
