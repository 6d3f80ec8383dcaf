// SPDX-License-Identifier: MIT
// Events of KVMI, and the replies that let a vCPU go on.
#pragma once

#include "core/error.h"
#include "drivers/kvmi/wire/dialect.h"
#include "drivers/kvmi/wire/message.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vmemfs::kvmi {

enum class EventKind : std::uint8_t {
  unhook,      ///< QEMU wants us to leave; has no reply
  pause,       ///< of a PAUSE command
  vcpu_begins, ///< CREATE_VCPU
  other,       ///< not enabled by us; continued all the same
};

struct Event {
  EventKind kind;
  std::uint8_t number = 0;
  std::uint16_t vcpu = 0;
  std::uint32_t seq = 0;
  bool has_reply = true; ///< its vCPU waits for one
  /// A CR or MSR event: the value that the guest writes, which the reply has to repeat.
  std::optional<std::uint64_t> new_value{};

  friend bool operator==(const Event&, const Event&) = default;
};

/// Whether messages of this id are events.
[[nodiscard]] constexpr bool is_event(Dialect dialect, std::uint16_t id) {
  return id == kVcpuEvent || id == numbers_of(dialect).vm_event;
}

/// Of a message for which is_event() holds. source_failed: too short to be one.
[[nodiscard]] Result<Event> parse_event(Dialect dialect, const Message& message);

/// A reply to an event, header included.
struct EventReply {
  std::array<std::byte, 32> bytes{};
  std::size_t size = 0;

  [[nodiscard]] std::span<const std::byte> message() const { return std::span{bytes}.first(size); }
};

/// The reply with which the vCPU goes on as if there had been no event.
[[nodiscard]] EventReply continue_reply(Dialect dialect, const Event& event);

} // namespace vmemfs::kvmi
