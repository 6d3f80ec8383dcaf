// SPDX-License-Identifier: MIT
// A block of backing memory as a file: offsets are those of the block.
#pragma once

#include "core/error.h"
#include "core/memory_use.h"
#include "util/mutex.h"
#include "util/unique_fd.h"
#include "vm/memory/address_space.h"
#include "vm/views/block_layout.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

/// Follows the memory map, in which the block is found by the name of its file. Parts that the guest has at
/// no address are read from the backend if the driver can do that (BlockMemory), else they are holes.
/// Thread-safe.
class BlockView {
public:
  /// `memory` outlives the view.
  BlockView(AddressSpace& memory, std::string name) : memory_{memory}, name_{std::move(name)} {}

  /// Of the block, in bytes; 0: the guest has no such block now. Waits for nothing.
  [[nodiscard]] std::uint64_t size() const;
  /// About how much of the host's memory and disk space it takes, in bytes. Waits for nothing.
  [[nodiscard]] std::uint64_t held_bytes() const;

  /// Reads [offset, offset + size) into scratch.data(); fewer bytes at the end, at a hole or a failure; none
  /// past the end.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          ReadScratch& scratch, ReadAhead& read_ahead) const;

  /// Writes, if all of it is memory that the guest has at an address where it can be written; else nothing is
  /// written. Returns fewer bytes than all if the source fails midway.
  [[nodiscard]] Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// lseek's SEEK_DATA (held) and SEEK_HOLE (sparse).
  [[nodiscard]] tl::expected<std::uint64_t, ErrorKind> seek(std::uint64_t offset, MemoryUse wanted) const;

  /// See BlockMemory::open_file().
  [[nodiscard]] Result<UniqueFd> open_file() const;

private:
  struct Piece;
  using LayoutPtr = std::shared_ptr<const BlockLayout>;

  [[nodiscard]] LayoutPtr layout() const EXCLUDES(mutex_);
  [[nodiscard]] std::uint64_t size_of(const BlockLayout& layout) const;
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> copy(const BlockLayout& layout, std::uint64_t offset,
                                                          std::uint64_t end, ReadScratch& scratch) const;

  AddressSpace& memory_;
  const std::string name_;
  mutable Mutex mutex_;
  mutable std::shared_ptr<const MemoryMap> map_ GUARDED_BY(mutex_); ///< of which the layout is
  mutable LayoutPtr layout_ GUARDED_BY(mutex_);                     ///< null: the map has no such block
};

} // namespace vmemfs
