// SPDX-License-Identifier: MIT
// Checks of a register layout that hold for every architecture.
#pragma once

#include "core/register_set.h"

#include <gtest/gtest.h>
#include <set>
#include <string>
#include <vector>

namespace vmemfs::test {

inline std::vector<std::string> names_of(const RegisterLayout& layout) {
  std::vector<std::string> names;
  for (const RegisterDescription& description : layout.registers) {
    names.emplace_back(description.name);
  }
  return names;
}

/// Text to set to text and back, with all registers and with every second one.
inline void expect_round_trip(const RegisterLayout& layout) {
  for (const std::size_t step : {1U, 2U}) {
    RegisterSet registers{layout};
    for (std::size_t i = 0; i < layout.size(); i += step) {
      registers.set(RegisterIndex{i}, ~std::uint64_t{i});
    }
    const std::string text = to_text(registers);
    const auto parsed = parse_registers(layout, text);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    RegisterSet again{layout};
    for (const auto& [reg, value] : *parsed) {
      again.set(reg, value);
    }
    EXPECT_EQ(again, registers);
    EXPECT_EQ(to_text(again), text);
  }
}

inline void expect_sound(const RegisterLayout& layout) {
  EXPECT_LE(layout.size(), kMaxRegisters);
  EXPECT_TRUE(layout.find(layout.example));
  std::set<std::string_view> names;
  std::vector<std::string_view> groups;
  for (const RegisterDescription& description : layout.registers) {
    EXPECT_TRUE(names.insert(description.name).second) << description.name;
    EXPECT_GT(description.bits, 0) << description.name;
    EXPECT_LE(description.bits, 64) << description.name;
    if (groups.empty() || groups.back() != description.group) {
      groups.push_back(description.group);
    }
  }
  EXPECT_EQ(std::set(groups.begin(), groups.end()).size(), groups.size()) << "a group is in two pieces";
}

} // namespace vmemfs::test
