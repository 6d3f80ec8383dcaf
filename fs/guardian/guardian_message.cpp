// SPDX-License-Identifier: MIT
#include "fs/guardian/guardian_message.h"

#include "core/text.h"

#include <fmt/format.h>
#include <limits>
#include <vector>

namespace vmemfs {
namespace {

std::optional<std::uint32_t> parse_vm(std::string_view text) {
  const auto number = parse_u64(text);
  if (!number || *number > std::numeric_limits<std::uint32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*number);
}

} // namespace

std::string to_text(const GuardianMessage& message) {
  if (!message.armed) {
    return fmt::format("disarm {}", message.vm);
  }
  return fmt::format("arm {} {}\n{}", message.vm, message.armed->driver, message.armed->ticket);
}

Result<GuardianMessage> parse_guardian_message(std::string_view text) {
  const std::size_t head_end = text.find('\n');
  const auto fields = split(text.substr(0, head_end), ' ');
  const auto vm = fields.size() > 1 ? parse_vm(fields[1]) : std::nullopt;
  const bool has_ticket = head_end != std::string_view::npos && head_end + 1 < text.size();
  if (vm && !has_ticket && head_end == std::string_view::npos && fields.size() == 2 &&
      fields[0] == "disarm") {
    return GuardianMessage{*vm, std::nullopt};
  }
  if (vm && has_ticket && fields.size() == 3 && fields[0] == "arm" && !fields[2].empty()) {
    return GuardianMessage{*vm, GuardTicket{std::string{fields[2]}, std::string{text.substr(head_end + 1)}}};
  }
  return fail(ErrorKind::invalid, "guardian",
              fmt::format("not a message of the daemon: '{}'", printable(text)));
}

} // namespace vmemfs
