// SPDX-License-Identifier: MIT
// Memory that the daemon and a worker share: pages, and what is to be done with them.
//
// A memfd of fixed size, so that neither side can make an access of the other one fail. The worker may write
// anything into it at any time, so the daemon copies what it checks.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "util/unique_fd.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmemfs::leechcore {

inline constexpr std::size_t kMaxPages = 4096; ///< of one scatter call: 16 MiB
inline constexpr std::size_t kMaxText = std::size_t{1} << 20;

/// One element of a scatter call. Its bytes are at `offset` of the page with its number.
struct Element {
  std::uint64_t page;   ///< guest physical address of the page
  std::uint32_t offset; ///< in the page, in bytes
  std::uint32_t size;
};

struct SharedArea {
  std::array<std::array<std::byte, kPageSize>, kMaxPages> pages;
  std::array<Element, kMaxPages> elements;
  std::array<std::uint8_t, kMaxPages> results; ///< 1: the element was read or written
  std::array<char, kMaxText> text;             ///< of a request, then of its reply
};

/// A mapping of the area; unmapped at the end.
class SharedMapping {
public:
  /// Makes an area of zeros, and its descriptor, which another process maps.
  static Result<SharedMapping> create();
  /// Maps that of another process. invalid: it has another size.
  static Result<SharedMapping> open(UniqueFd fd);

  SharedMapping(SharedMapping&& other) noexcept;
  SharedMapping& operator=(SharedMapping&&) = delete;
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] SharedArea& area() const { return *area_; }

private:
  static Result<SharedMapping> map(UniqueFd fd);
  SharedMapping(UniqueFd fd, SharedArea* area);

  UniqueFd fd_;
  SharedArea* area_;
};

} // namespace vmemfs::leechcore
