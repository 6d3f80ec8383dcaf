// SPDX-License-Identifier: MIT
// Packer of single pages in the format of zlib (RFC 1950), as kdump files have them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace vmemfs {

/// Not thread-safe. Allocates only when it is made, which throws std::bad_alloc if there is no memory. Its
/// header names no type of the library behind it.
class PagePacker {
public:
  PagePacker();
  ~PagePacker();
  PagePacker(const PagePacker&) = delete;
  PagePacker& operator=(const PagePacker&) = delete;

  /// Packs a page, quick rather than small, into at most the room of `packed`; returns the number of bytes.
  /// 0: it does not fit.
  [[nodiscard]] std::size_t pack(std::span<const std::byte> page, std::span<std::byte> packed);

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace vmemfs
