// SPDX-License-Identifier: MIT
// Text form of resume tickets. See RunControl::resume_ticket().
//
// Format: lines "KEY=VALUE" in a fixed order. The last value takes the rest of the text, so that it may
// contain line ends, as paths and URIs may; the others must not contain any. Not a public format: both ends
// are of the same program.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

struct TicketField {
  std::string_view key;
  std::string value;
};

[[nodiscard]] std::string ticket_text(std::span<const TicketField> fields);

/// The values of `keys`, in their order; they refer to `text`. invalid, from `driver`, if the text does not
/// have exactly this form.
[[nodiscard]] Result<std::vector<std::string_view>>
parse_ticket(std::string_view text, std::span<const std::string_view> keys, std::string_view driver);

/// The error for a ticket whose values are not valid.
[[nodiscard]] tl::unexpected<Error> not_a_ticket(std::string_view text, std::string_view driver);

} // namespace vmemfs
