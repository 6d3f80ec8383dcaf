// SPDX-License-Identifier: MIT
#include "drivers/kvmi/wire/event.h"

#include "drivers/kvmi/wire/bytes.h"

#include <fmt/format.h>

namespace vmemfs::kvmi {
namespace {

/// Where the parts of an event are that differ between the dialects.
struct Place {
  std::size_t common;  ///< begin of the common part: its size, then the vCPU
  std::size_t number;  ///< of the event
  std::size_t minimum; ///< size of what is read here
};
constexpr Place kTree{0, 4, 8};
constexpr Place kV12{8, 0, 16};
constexpr std::size_t kVcpuAt = 2;
constexpr std::size_t kVmEventSize = 8;

/// After the common part of CR and MSR events.
constexpr std::size_t kNewValueAt = 16;

constexpr std::size_t kReplySize = 16;
constexpr std::size_t kReplyEventAt = 9;

std::optional<std::uint64_t> new_value(const Numbers& numbers, std::uint8_t number,
                                       std::span<const std::byte> specific) {
  if ((number != numbers.cr_event && number != numbers.msr_event) ||
      specific.size() < kNewValueAt + sizeof(std::uint64_t)) {
    return std::nullopt;
  }
  return load_le<std::uint64_t>(specific, kNewValueAt);
}

EventKind kind_of(Dialect dialect, std::uint8_t number) {
  const Numbers& numbers = numbers_of(dialect);
  if (number == numbers.pause_event) {
    return EventKind::pause;
  }
  if (dialect == Dialect::tree && number == numbers.unhook_event) {
    return EventKind::unhook;
  }
  if (dialect == Dialect::tree && number == kTreeCreateVcpuEvent) {
    return EventKind::vcpu_begins;
  }
  return EventKind::other;
}

tl::unexpected<Error> too_short(std::size_t size) {
  return fail(ErrorKind::source_failed, "kvmi", fmt::format("the VM sent an event of only {} bytes", size));
}

} // namespace

Result<Event> parse_event(Dialect dialect, const Message& message) {
  const auto payload = message.payload;
  if (dialect == Dialect::v12 && message.id == kV12Numbers.vm_event) {
    if (payload.size() < kVmEventSize) {
      return too_short(payload.size());
    }
    const auto number = static_cast<std::uint8_t>(load_le<std::uint16_t>(payload, 0));
    const bool is_unhook = number == kV12Numbers.unhook_event;
    return Event{is_unhook ? EventKind::unhook : EventKind::other, number, 0, message.seq, false};
  }
  const Place& place = dialect == Dialect::tree ? kTree : kV12;
  if (payload.size() < place.minimum) {
    return too_short(payload.size());
  }
  const auto common = payload.subspan(place.common);
  const std::size_t size = load_le<std::uint16_t>(common, 0);
  Event event{EventKind::other, std::to_integer<std::uint8_t>(payload[place.number]),
              load_le<std::uint16_t>(common, kVcpuAt), message.seq};
  event.kind = kind_of(dialect, event.number);
  event.has_reply = event.kind != EventKind::unhook;
  if (size <= common.size()) {
    event.new_value = new_value(numbers_of(dialect), event.number, common.subspan(size));
  }
  return event;
}

EventReply continue_reply(Dialect dialect, const Event& event) {
  EventReply reply;
  const std::size_t size = kReplySize + (event.new_value ? sizeof(std::uint64_t) : 0);
  store_header(reply.bytes, numbers_of(dialect).event_reply, size, event.seq);
  const std::span<std::byte> payload = std::span{reply.bytes}.subspan(kHeaderSize);
  store_le<std::uint16_t>(payload, 0, event.vcpu);
  payload[kReplyEventAt] = static_cast<std::byte>(event.number); // the action before it is 0: continue
  if (event.new_value) {
    store_le<std::uint64_t>(payload, kReplySize, *event.new_value);
  }
  reply.size = kHeaderSize + size;
  return reply;
}

} // namespace vmemfs::kvmi
