// SPDX-License-Identifier: MIT
// The texts of a kernel's log in its data ring.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/printk/ring_layout.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Where a text is: positions count on over all turns of the ring, as the kernel has them.
struct TextPosition {
  std::uint64_t begin;
  std::uint64_t next;

  friend bool operator==(const TextPosition&, const TextPosition&) = default;

  /// There are no bytes, because the record is empty or because the kernel had no room for them.
  [[nodiscard]] bool has_no_data() const { return (begin & next & 1U) != 0; }
  [[nodiscard]] bool is_empty_line() const { return begin == kEmptyLine && next == kEmptyLine; }

private:
  static constexpr std::uint64_t kEmptyLine = 3;
};

/// Reads a little more than is asked for, since texts lie side by side. Reads few times the ring's size over
/// its lifetime, whatever the positions are. Not thread-safe.
class RingTexts {
public:
  RingTexts(KernelMemory& memory, const RingLayout& layout)
      : memory_{memory}, layout_{layout}, left_{kMaxTurns * layout.data_bytes() + kExtra} {}

  /// At most `length` bytes, valid until the next call. nullopt: it cannot be read, the positions make no
  /// sense, or the text is that of another descriptor than `id`.
  [[nodiscard]] std::optional<std::string_view> text(TextPosition position, std::uint64_t id,
                                                     std::size_t length);
  /// What was read may have changed.
  void forget() { window_.clear(); }

private:
  static constexpr std::uint64_t kMaxTurns = 8;
  static constexpr std::uint64_t kExtra = 16U << 20U;
  static constexpr std::uint64_t kWindow = 16U << 10U;

  [[nodiscard]] bool load(std::uint64_t index, std::uint64_t size);

  KernelMemory& memory_;
  const RingLayout& layout_;
  std::uint64_t left_; ///< bytes that may yet be read
  std::uint64_t window_begin_ = 0;
  std::vector<std::byte> window_;
};

} // namespace vmemfs
