// SPDX-License-Identifier: MIT
// The first questions on a new connection: which dialect, how much memory, how many vCPUs.
#pragma once

#include "core/error.h"
#include "drivers/kvmi/link/connection.h"
#include "drivers/kvmi/wire/dialect.h"
#include "drivers/kvmi/wire/greeting.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace vmemfs::kvmi {

/// The dialect of the other side. unsupported: one of those that were only posted to a mailing list.
[[nodiscard]] Result<Dialect> find_dialect(Connection& connection);

struct Facts {
  std::uint64_t memory_end = 0; ///< end of the guest physical addresses that may hold memory, in bytes
  std::uint32_t vcpus = 0;      ///< numbered from 0

  friend bool operator==(const Facts&, const Facts&) = default;
};

/// Asks again each time. source_failed: an answer that no VM can give.
[[nodiscard]] Result<Facts> ask_facts(Connection& connection, Dialect dialect, const Greeting& greeting);

/// Commands that only some peers have, or allow.
struct OptionalCommands {
  bool query_physical = false;
  bool map_token = false;
};
[[nodiscard]] Result<OptionalCommands> ask_optional_commands(Connection& connection, Dialect dialect);

/// Asks to be notified when QEMU wants us to leave. Not a fault if QEMU does not allow that.
[[nodiscard]] Result<bool> enable_unhook_event(Connection& connection, Dialect dialect);

/// A sentence on a refused command.
[[nodiscard]] Error refused(std::string_view what, std::int32_t status);

} // namespace vmemfs::kvmi
