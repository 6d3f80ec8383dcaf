// SPDX-License-Identifier: MIT
// The grammar of the control file: one command a line.
#pragma once

#include "core/error.h"
#include "vm/cache_settings.h"
#include "vm/pause_ledger.h"

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
/// What is not said stays as it is.
struct CacheCommand {
  std::optional<CacheMode> mode;
  std::optional<std::chrono::milliseconds> ttl;
  std::optional<std::uint64_t> size;
  bool fair_share = false; ///< size=share: no size of its own any more
};

using ControlCommand = std::variant<PauseCommand, HoldCommand, ResumeCommand, RefreshCommand, FlushCommand,
                                    StatusCommand, DetachCommand, WriteCommand, CacheCommand>;

/// One line, without blanks around it. invalid: the text says what is wrong and what there is.
[[nodiscard]] Result<ControlCommand> parse_control_command(std::string_view line);

/// What a VM must be able to do for a command.
struct ControlAbilities {
  bool run_control;
  bool writes;
};

/// The commands that such a VM takes, one a line: "command pause [hold|ttl=DURATION|keep]", ...
[[nodiscard]] std::string control_usage(ControlAbilities abilities);

} // namespace vmemfs
