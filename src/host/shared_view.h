// SPDX-License-Identifier: MIT
// Read-only mapping of a stretch of a file, never accessed, only passed to system calls.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace vmemfs {

class SharedView {
public:
  /// Maps nothing; if_resident() returns an empty span.
  SharedView() = default;
  SharedView(SharedView&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
  SharedView& operator=(SharedView&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  SharedView(const SharedView&) = delete;
  SharedView& operator=(const SharedView&) = delete;
  ~SharedView();

  /// `offset` and `size` in bytes; offset a multiple of the page size. Populates nothing.
  static Result<SharedView> map(int fd, std::uint64_t offset, std::size_t size);

  explicit operator bool() const { return !bytes_.empty(); }

  /// Max size for if_resident(): the largest request and a page, for unaligned ones.
  static constexpr std::size_t kMaxPages = 257;

  /// [offset, offset + size) of the view if all its pages are in host memory, else an empty span. One
  /// system call, no allocation, thread-safe. Past the end of the file nothing is in memory.
  [[nodiscard]] std::span<const std::byte> if_resident(std::uint64_t offset, std::size_t size) const;

private:
  explicit SharedView(std::span<const std::byte> bytes) : bytes_{bytes} {}

  std::span<const std::byte> bytes_;
};

} // namespace vmemfs
