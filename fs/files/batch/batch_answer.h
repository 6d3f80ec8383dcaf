// SPDX-License-Identifier: MIT
// An answer of `batch`: the bytes of all ranges, each with a status. docs/batch.md has the layout.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "fs/files/batch/batch_request.h"
#include "vm/memory/address_space.h"

#include <cstddef>
#include <span>
#include <string_view>

namespace vmemfs {

/// For one thread at a time. Guest memory is read into its place in the answer. In a binary answer it comes
/// first, so that pages begin on a page: a copy of those is faster, on some CPUs by far.
class BatchAnswer {
public:
  /// How much memory the answer to a request takes: all of it, the list of its ranges included.
  [[nodiscard]] static std::size_t memory_for(const BatchRequest& request);

  /// `memory`, of at least that size and from the start of a page, outlives the answer.
  BatchAnswer(const BatchRequest& request, std::span<std::byte> memory);

  /// Reads guest memory and makes the answer of it; returns how many bytes were read. An error: there is no
  /// answer, because the VM has ended.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> make(AddressSpace& guest_memory);

  /// As it was made last.
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

private:
  void make_binary();
  void make_text();

  const BatchForm form_;
  const std::span<std::byte> memory_;
  const std::size_t data_size_;
  const std::span<ReadPiece> pieces_; ///< the ranges; they are in the memory, as are their buffers
  std::string_view bytes_;
};

} // namespace vmemfs
