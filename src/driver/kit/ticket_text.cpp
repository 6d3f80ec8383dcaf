// SPDX-License-Identifier: MIT
#include "driver/kit/ticket_text.h"

#include "core/text.h"

#include <fmt/format.h>

namespace vmemfs {

std::string ticket_text(std::span<const TicketField> fields) {
  std::string text;
  for (const TicketField& field : fields) {
    text += fmt::format("{}{}={}", text.empty() ? "" : "\n", field.key, field.value);
  }
  return text;
}

Result<std::vector<std::string_view>>
parse_ticket(std::string_view text, std::span<const std::string_view> keys, std::string_view driver) {
  std::vector<std::string_view> values;
  std::string_view rest = text;
  for (const std::string_view key : keys) {
    if (!rest.starts_with(key) || !rest.substr(key.size()).starts_with('=')) {
      return not_a_ticket(text, driver);
    }
    rest.remove_prefix(key.size() + 1);
    const bool is_last = values.size() + 1 == keys.size();
    const std::size_t end = is_last ? rest.size() : rest.find('\n');
    if (end == std::string_view::npos) {
      return not_a_ticket(text, driver);
    }
    values.push_back(rest.substr(0, end));
    rest.remove_prefix(is_last ? end : end + 1);
  }
  return values;
}

tl::unexpected<Error> not_a_ticket(std::string_view text, std::string_view driver) {
  constexpr std::size_t kShown = 200;
  return fail(ErrorKind::invalid, driver,
              fmt::format("'{}' is not a ticket of this driver", printable(text, kShown)));
}

} // namespace vmemfs
