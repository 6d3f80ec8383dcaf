// SPDX-License-Identifier: MIT
// The grammar of the control file: one command per line.
#pragma once

#include "core/error.h"
#include "vm/cache/cache_settings.h"
#include "vm/state/pause_ledger.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace vmemfs {

struct PauseCommand {
  PauseKind kind = PauseKind::plain;
  std::chrono::milliseconds for_how_long{0}; ///< of a timed pause
};
struct HoldCommand {};
struct ResumeCommand {};
struct RefreshCommand {};
struct FlushCommand {};
struct StatusCommand {};
struct DetachCommand {};
struct WriteCommand {
  bool on;
};
/// Settings that are not named do not change.
struct CacheCommand {
  std::optional<CacheMode> mode;
  std::optional<std::chrono::milliseconds> ttl;
  std::optional<std::uint64_t> size;
  bool fair_share = false; ///< size=share: the VM gets its share of the mount's cache
};

using ControlCommand = std::variant<PauseCommand, HoldCommand, ResumeCommand, RefreshCommand, FlushCommand,
                                    StatusCommand, DetachCommand, WriteCommand, CacheCommand>;

/// Parses one line, without surrounding blanks. invalid: the text says what is wrong and what exists.
[[nodiscard]] Result<ControlCommand> parse_control_command(std::string_view line);

/// Abilities of a VM that commands need.
struct ControlAbilities {
  bool run_control;
  bool writes;
};

/// The commands that such a VM takes, one per line: "command pause [hold|ttl=DURATION|keep]", ...
[[nodiscard]] std::string control_usage(ControlAbilities abilities);

} // namespace vmemfs
