// SPDX-License-Identifier: MIT
// The status text of `control`.
#pragma once

#include "vm/vm.h"
#include "vm/vm_events.h"

#include <string>
#include <string_view>

namespace vmemfs {

/// The hypervisor's name of the VM's state; "saved" for memory that cannot change, such as a dump's; "gone"
/// or "unknown" if there is none. Asks the driver.
[[nodiscard]] std::string state_name(Vm& vm);

/// The same without the reason why it is unknown.
[[nodiscard]] std::string_view short_state(std::string_view state);

/// `last_error` with `none` or the text, a single line, and then `error_time`.
[[nodiscard]] std::string last_error_lines(const LastError& error);

/// `key value` lines, then one line per command. Asks the driver for the state.
[[nodiscard]] std::string status_text(Vm& vm);
/// The same with this state. Asks nobody.
[[nodiscard]] std::string status_text(Vm& vm, std::string_view state);

/// Why nothing is cached although the settings allow it; empty: pages are cached, or the settings are the
/// reason.
[[nodiscard]] std::string no_cache_reason(Vm& vm);

inline constexpr std::string_view kSavedState = "saved";
/// A state, where only the size of a text counts.
inline constexpr std::string_view kUsualState = "running";
/// A state that could not be found out, without the reason.
inline constexpr std::string_view kUnknownState = "unknown";

} // namespace vmemfs
