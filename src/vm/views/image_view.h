// SPDX-License-Identifier: MIT
// Guest memory as an image: made bytes and ranges of guest memory, read as one file.
#pragma once

#include "core/error.h"
#include "core/memory_use.h"
#include "image/image_layout.h"
#include "vm/memory/address_space.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

/// Thread-safe. The layout is that of the moment when it was made: what the guest has lost since cannot be
/// read any more, and what it has gained since is not there.
class ImageView {
public:
  /// Both outlive the view.
  ImageView(AddressSpace& memory, const ImageLayout& layout) : memory_{memory}, layout_{layout} {}

  [[nodiscard]] const ImageLayout& layout() const { return layout_; }

  /// Max number of parts that one read answers: a reply to the kernel has room for some 1000 pieces, and each
  /// part of the guest has up to two more than pages.
  static constexpr std::size_t kMaxParts = 256;

  /// Whether a read has bytes that are not the guest's.
  [[nodiscard]] bool has_made(std::uint64_t offset, std::size_t size) const;

  /// Reads [offset, offset + size) into scratch.data(); fewer bytes if the image ends, a failure comes
  /// before, or there are too many parts. Bad pages are zeros. `made` has all made bytes, or is empty if the
  /// read needs none; it must live as long as the scratch's data is used. `read_ahead` is the open file's.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          std::span<const std::byte> made,
                                                          ReadScratch& scratch, ReadAhead& read_ahead) const;

  /// lseek's SEEK_DATA (held) and SEEK_HOLE (sparse); see seek_data(). A range that the guest has lost is
  /// data, so that no reader takes it for zeros.
  [[nodiscard]] tl::expected<std::uint64_t, ErrorKind> seek(std::uint64_t offset, MemoryUse wanted) const;

private:
  AddressSpace& memory_;
  const ImageLayout& layout_;
};

} // namespace vmemfs
