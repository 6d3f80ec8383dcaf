// SPDX-License-Identifier: MIT
// Structures in the bytes of messages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace kvmi_simulator {

template <typename T> void append(std::vector<std::uint8_t>& to, const T& value) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof value);
}

/// What is missing counts as zeros.
template <typename T> T at(std::span<const std::uint8_t> payload, std::size_t offset) {
  T value{};
  if (offset < payload.size()) {
    std::memcpy(&value, payload.data() + offset, std::min(sizeof value, payload.size() - offset));
  }
  return value;
}

} // namespace kvmi_simulator
