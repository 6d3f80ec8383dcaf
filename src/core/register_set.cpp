// SPDX-License-Identifier: MIT
#include "core/register_set.h"

#include "core/text.h"

#include <fmt/format.h>

namespace vmemfs {

std::string to_text(const RegisterSet& registers) {
  std::string text;
  for (std::size_t i = 0; i < registers.layout().size(); ++i) {
    const RegisterIndex reg{i};
    if (const auto value = registers.get(reg)) {
      text += fmt::format("{} {:#018x}\n", registers.layout().name(reg), *value);
    }
  }
  return text;
}

Result<std::vector<RegisterValue>> parse_registers(const RegisterLayout& layout, std::string_view text) {
  std::vector<RegisterValue> values;
  std::size_t line_number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++line_number;
    const auto refuse = [&](std::string_view why) {
      return fail(ErrorKind::invalid, "registers",
                  fmt::format("line {}: {}; a line is a register's name and its value, as in "
                              "'{} 0x000000000001ad40'",
                              line_number, why, layout.example));
    };
    line = trim(line);
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const std::size_t gap = line.find_first_of(" \t");
    const std::string_view name = line.substr(0, gap);
    const auto reg = layout.find(name);
    if (!reg) {
      return refuse(fmt::format("there is no register '{}'", printable(name)));
    }
    if (gap == std::string_view::npos) {
      return refuse(fmt::format("'{}' has no value", name));
    }
    const std::string_view number = trim(line.substr(gap));
    const auto value = parse_u64(number);
    if (!value) {
      return refuse(fmt::format("'{}' is not a 64-bit number", printable(number)));
    }
    values.push_back({*reg, *value});
  }
  if (values.empty()) {
    return fail(ErrorKind::invalid, "registers",
                fmt::format("no register is named; write lines such as '{} 0x1'", layout.example));
  }
  return values;
}

} // namespace vmemfs
