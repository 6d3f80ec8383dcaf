// SPDX-License-Identifier: MIT
// Memory of a mapping of its own, in huge pages if the kernel has some.
//
// The heap would keep blocks of this size when they are freed. What the kernel copies into memory or out of
// it begins on a page, and it finds a huge page at once for all of its 512: fewer lookups, and no counter for
// each page that moves from CPU to CPU.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

namespace vmemfs {

/// Not thread-safe.
class PageMemory {
public:
  /// Of x86-64 and of most others; where they are larger, none is used.
  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;

  PageMemory() = default;
  /// `size` bytes, not 0, which take no memory before they are used. Those that fill a multiple of kHugePage
  /// from the start become huge pages at their first use. Throws std::bad_alloc.
  explicit PageMemory(std::size_t size);
  PageMemory(PageMemory&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
  PageMemory& operator=(PageMemory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  PageMemory(const PageMemory&) = delete;
  PageMemory& operator=(const PageMemory&) = delete;
  ~PageMemory();

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

private:
  std::span<std::byte> bytes_;
};

} // namespace vmemfs
