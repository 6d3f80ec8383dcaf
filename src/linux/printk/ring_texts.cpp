// SPDX-License-Identifier: MIT
#include "linux/printk/ring_texts.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

namespace vmemfs {
namespace {

/// A block begins with the number of the descriptor that it belongs to.
constexpr std::uint64_t kBlockHeader = sizeof(std::uint64_t);
/// A length has 16 bits, and blocks are aligned.
constexpr std::uint64_t kMaxBlock = kBlockHeader + std::numeric_limits<std::uint16_t>::max() + kBlockHeader;

} // namespace

bool RingTexts::load(std::uint64_t index, std::uint64_t size) {
  if (index >= window_begin_ && index - window_begin_ <= window_.size() &&
      size <= window_.size() - (index - window_begin_)) {
    return true;
  }
  const std::uint64_t wanted = std::min(std::max(size, kWindow), layout_.data_bytes() - index);
  window_.clear();
  if (wanted > left_) {
    return false;
  }
  left_ -= wanted;
  window_.resize(wanted);
  window_.resize(memory_.read(layout_.data + index, window_));
  window_begin_ = index;
  return size <= window_.size();
}

std::optional<std::string_view> RingTexts::text(TextPosition position, std::uint64_t id, std::size_t length) {
  const std::uint64_t mask = layout_.data_bytes() - 1;
  // The first turn of the ring ends where positions overflow.
  const std::uint64_t distance = position.next - position.begin;
  if (distance == 0 || distance > layout_.data_bytes()) {
    return std::nullopt;
  }
  // A block that does not fit before the ring's end lies at its begin. One that ends with the ring fits.
  const std::uint64_t last = position.next - 1;
  const bool wraps = (position.begin & ~mask) != (last & ~mask);
  const std::uint64_t index = wraps ? 0 : position.begin & mask;
  const std::uint64_t size = (last & mask) + 1 - index;
  if (size < kBlockHeader || size > kMaxBlock || !load(index, size)) {
    return std::nullopt;
  }
  const auto block = std::span<const std::byte>{window_}.subspan(index - window_begin_, size);
  std::uint64_t owner = 0;
  std::memcpy(&owner, block.data(), sizeof owner);
  if (owner != id) {
    return std::nullopt;
  }
  const auto bytes = block.subspan(kBlockHeader);
  return std::string_view{reinterpret_cast<const char*>(bytes.data()), std::min(length, bytes.size())};
}

} // namespace vmemfs
