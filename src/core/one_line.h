// SPDX-License-Identifier: MIT
// A message of several lines, on one.
#pragma once

#include <string>
#include <string_view>

namespace vmemfs {

/// For logs, events and `key value` lines: the lines without their indent, joined by "; ", or by a space
/// after a line that ends with a colon.
[[nodiscard]] std::string one_line(std::string_view text);

} // namespace vmemfs
