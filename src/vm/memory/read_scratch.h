// SPDX-License-Identifier: MIT
// Reusable buffers of a read of guest memory, so that a read does not allocate.
#pragma once

#include "core/gpa.h"
#include "driver/driver.h"
#include "vm/cache/page_cache.h"

#include <cstddef>
#include <memory>
#include <span>
#include <sys/uio.h>
#include <vector>

namespace vmemfs {

/// For one thread at a time. The bytes of a read are arranged in order: borrowed from the driver, cached
/// pages, zeros, or read into the staging buffer.
class ReadScratch {
public:
  static constexpr std::size_t kStaging = std::size_t{1} << 20U; ///< max size of a read

  ReadScratch();
  ~ReadScratch() { release(); }
  // Moving between two scratches in use swaps their contents. A moved-from one can only be assigned to.
  ReadScratch(ReadScratch&& other) noexcept = default;
  ReadScratch& operator=(ReadScratch&& other) noexcept = default;
  ReadScratch(const ReadScratch&) = delete;
  ReadScratch& operator=(const ReadScratch&) = delete;

  /// The bytes of the last read, in order. Valid until the next read with this scratch or release().
  [[nodiscard]] std::span<const iovec> data() const { return data_; }

  /// Whether all bytes are copies, some of them read by the driver, so that they cannot change.
  [[nodiscard]] bool is_copy() const { return staged_ > 0 && pins_.empty() && pinned_.empty(); }

  /// Releases borrowed memory and cached pages; call it once the bytes are delivered.
  void release();

private:
  friend class MemoryView;
  friend class CachedPages;

  /// A part of a page that another thread is reading, and its position in data_.
  struct Waiting {
    GpaRange part;
    std::size_t index;
  };

  void clear();
  /// Appends bytes to the answer.
  void add(std::span<const std::byte> bytes);
  /// Appends a piece to be read into the staging buffer.
  void stage(GpaRange range);
  /// Truncates the answer to `keep` bytes.
  void truncate(std::size_t keep);

  /// Memory of its own mapping, so that the host has it back at once when the buffer ends: the heap would
  /// keep blocks of this size. It begins on a page: the kernel copies by pages, and a page of the answer is
  /// then one of ours.
  struct Unmap {
    void operator()(std::byte* bytes) const noexcept;
  };
  static std::byte* map_staging(); ///< throws std::bad_alloc

  std::unique_ptr<std::byte, Unmap> pages_;
  std::span<std::byte> staging_; ///< all of pages_
  std::size_t staged_ = 0;
  std::vector<iovec> data_;
  std::vector<ReadPiece> pieces_;
  std::vector<PageCache::Frame*> frames_; ///< of each piece: the frame claimed for it, or null
  std::size_t asked_pieces_ = 0;          ///< later pieces are prefetched
  std::vector<MemoryPin> pins_;
  std::vector<PageCache::Frame*> pinned_; ///< pinned until release()
  std::vector<Waiting> waiting_;
  PageCache* cache_ = nullptr; ///< owner of these frames
};

} // namespace vmemfs
