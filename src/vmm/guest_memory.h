// SPDX-License-Identifier: MIT
// Guest memory in one layout, with access to its bytes in the process that runs the guest.
#pragma once

#include "core/memory_map.h"
#include "driver/driver.h"
#include "host/host_memory.h"
#include "host/process_space.h"
#include "util/unique_fd.h"
#include "vmm/guest_layout.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs {

/// Immutable and thread-safe; replaced as a whole when the layout changes. A reader keeps the object with
/// which it began.
class GuestMemory {
public:
  /// Reuses the host memory of `before` (may be null) if the blocks are still the same, because its mappings
  /// are already populated.
  static Result<std::shared_ptr<const GuestMemory>>
  open(GuestLayout layout, std::shared_ptr<const ProcessSpace> space, const GuestMemory* before);

  [[nodiscard]] const MemoryMap& map() const { return map_; }
  [[nodiscard]] const GuestLayout& layout() const { return layout_; }
  [[nodiscard]] const HostMemory& host() const { return *host_; }

  /// See Driver::read().
  void read(std::span<ReadPiece> pieces) const;

  /// See Driver::find(). Only main memory can be sparse: firmware and device memory are held.
  [[nodiscard]] UseSearch find(const GpaRange& range, MemoryUse wanted) const;

  /// See Driver::held_bytes().
  [[nodiscard]] std::uint64_t held_bytes() const;

  // See BlockMemory.
  [[nodiscard]] std::optional<std::uint64_t> block_size(const Region& of) const;
  [[nodiscard]] std::optional<std::uint64_t> block_held_bytes(const Region& of) const;
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read_block(const Region& of, std::uint64_t offset,
                                                                std::span<std::byte> buffer) const;
  [[nodiscard]] Result<UniqueFd> open_block_file(const Region& of) const;

  struct Writable {
    std::size_t size = 0;         ///< bytes from the start that can be written
    std::optional<Error> failure; ///< the reason if `size` is less than asked for (hole, read_only)
  };
  [[nodiscard]] Writable writable(Gpa gpa, std::size_t size) const;

  /// Writes the writable bytes from the start on.
  [[nodiscard]] WriteOutcome write(const ProcessSpace& space, Gpa gpa,
                                   std::span<const std::byte> bytes) const;

  /// See DirectMemory::borrow(); the pin is this object.
  [[nodiscard]] std::span<const std::byte> borrow(Gpa gpa, std::size_t size) const;

private:
  GuestMemory(GuestLayout layout, MemoryMap map, std::vector<HvaRange> extents,
              std::shared_ptr<const HostMemory> host);

  /// What the layout has of a block.
  struct Block {
    Hva base = 0;
    HvaRange extent;                         ///< hidden parts included
    std::shared_ptr<const BackingFile> file; ///< that has its bytes at the same offsets; null: none
    bool written_by_process = false;         ///< all of it, see HostSegment
  };
  [[nodiscard]] const Block* block_of(const Region& of) const;
  [[nodiscard]] std::vector<Block> find_blocks() const;

  [[nodiscard]] Hva hva_of(const Region& region, Gpa gpa) const;

  const GuestLayout layout_; ///< ranges in the order of map_.regions()
  const MemoryMap map_;
  const std::vector<HvaRange> extents_;
  const std::shared_ptr<const HostMemory> host_;
  const std::vector<Block> blocks_; ///< by index in the map
};

} // namespace vmemfs
