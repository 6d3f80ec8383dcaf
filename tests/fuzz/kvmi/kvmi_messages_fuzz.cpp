// SPDX-License-Identifier: MIT
// All that a VM sends by KVMI: a greeting, then messages in pieces of the size that the first byte says. Its
// lowest bit says the dialect.
#include "drivers/kvmi/vcpus/registers.h"
#include "drivers/kvmi/wire/event.h"
#include "drivers/kvmi/wire/greeting.h"
#include "drivers/kvmi/wire/message.h"
#include "drivers/kvmi/wire/slot.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace vmemfs::kvmi {
namespace {

void check_greeting(std::span<const std::byte> bytes) {
  std::array<std::byte, kGreetingSizeField> field{};
  std::ranges::copy(bytes.first(std::min(bytes.size(), field.size())), field.begin());
  if (const auto size = greeting_size(field)) {
    fuzz::expect(*size >= 32 && *size <= 65536, "a greeting has a limited size");
  }
  const Greeting greeting = parse_greeting(bytes);
  fuzz::expect(greeting.uuid.size() == 36, "a uuid has 36 characters");
  fuzz::expect(greeting.name.size() <= 64 && greeting.name.find('\0') == std::string::npos,
               "a name ends at a NUL");
}

void check_message(Dialect dialect, const Message& message) {
  fuzz::expect(message.payload.size() <= kMaxPayload, "a payload has a limited size");
  if (is_event(dialect, message.id)) {
    const auto event = parse_event(dialect, message);
    if (event && event->has_reply) {
      const auto bytes = continue_reply(dialect, *event);
      const auto reply = bytes.message();
      fuzz::expect(reply.size() == (event->new_value ? 32U : 24U), "a reply has a fixed size");
      fuzz::expect(reply[16] == std::byte{0}, "a reply continues the guest");
      fuzz::expect(reply[17] == std::byte{event->number}, "a reply is of its event");
    }
    return;
  }
  const auto reply = parse_reply(message.payload);
  if (!reply) {
    return;
  }
  fuzz::expect(reply->status <= 0, "a status is an errno");
  fuzz::expect(reply->status == 0 || reply->data.empty(), "a failure has no data");
  if (const auto slot = parse_slot_reply(reply->data)) {
    fuzz::expect(!slot->empty() && slot->end <= Gpa{kGpaLimit}, "a memory slot is within the addresses");
  }
  if (const auto state = parse_registers_reply(reply->data, 9)) {
    fuzz::expect(state->msrs.size() <= 9, "there are no more MSRs than were asked for");
  }
}

} // namespace
} // namespace vmemfs::kvmi

FUZZ_TARGET(text) {
  using namespace vmemfs::kvmi;
  if (text.empty()) {
    return;
  }
  const unsigned first = static_cast<unsigned char>(text.front());
  const Dialect dialect = (first & 1U) == 0 ? Dialect::tree : Dialect::v12;
  const std::size_t step = 1 + 8 * std::size_t{first >> 1U};
  text.remove_prefix(1);
  auto bytes = std::as_bytes(std::span{text});
  check_greeting(bytes);
  MessageReader reader;
  while (!bytes.empty()) {
    const auto room = reader.room();
    vmemfs::fuzz::expect(!room.empty(), "there is room for the next bytes");
    const std::size_t size = std::min({step, bytes.size(), room.size()});
    std::memcpy(room.data(), bytes.data(), size);
    reader.added(size);
    bytes = bytes.subspan(size);
    for (auto message = reader.next(); !message || *message; message = reader.next()) {
      if (!message) {
        return;
      }
      check_message(dialect, **message);
    }
  }
}
