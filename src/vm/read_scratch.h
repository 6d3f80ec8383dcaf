// What one read of guest memory needs and the next one reuses, so that a read allocates nothing.
#pragma once

#include "core/gpa.h"
#include "driver/driver.h"
#include "vm/page_cache.h"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <sys/uio.h>
#include <vector>

namespace vmemfs {

/// For one thread at a time. The bytes of a read are laid out in order: borrowed from the driver, cached
/// pages, zeros, or read into the staging buffer.
class ReadScratch {
public:
  static constexpr std::size_t kStaging = std::size_t{1} << 20U; ///< no read is larger

  ReadScratch();
  ~ReadScratch() { release(); }
  // Of two scratches in use, each then has what the other had. One that was moved from can only be assigned
  // to.
  ReadScratch(ReadScratch&& other) noexcept = default;
  ReadScratch& operator=(ReadScratch&& other) noexcept = default;
  ReadScratch(const ReadScratch&) = delete;
  ReadScratch& operator=(const ReadScratch&) = delete;

  /// The bytes of the last read, in order. Valid until the next read with this scratch or release().
  [[nodiscard]] std::span<const iovec> data() const { return data_; }

  /// Whether the bytes are all our own, the driver having read some of them, so that they stay what they are.
  [[nodiscard]] bool is_copy() const { return staged_ > 0 && pins_.empty() && pinned_.empty(); }

  /// Lets borrowed memory and cached pages go; call it once the bytes are delivered.
  void release();

private:
  friend class MemoryView;
  friend class CachedPages;

  /// A part of a page that another thread is just reading, and where in data_ it belongs.
  struct Waiting {
    GpaRange part;
    std::size_t index;
  };

  void clear();
  /// Appends bytes to the answer.
  void add(std::span<const std::byte> bytes);
  /// Appends a piece that is read into the staging buffer.
  void stage(GpaRange range);
  /// Cuts the answer after `keep` bytes.
  void truncate(std::size_t keep);

  /// Page-aligned: the kernel copies by pages, and a page of the answer is then one of ours.
  struct alignas(kPageSize) StagingPage {
    std::array<std::byte, kPageSize> bytes;
  };
  std::unique_ptr<StagingPage[]> pages_;
  std::span<std::byte> staging_; ///< all of pages_
  std::size_t staged_ = 0;
  std::vector<iovec> data_;
  std::vector<ReadPiece> pieces_;
  std::vector<PageCache::Frame*> frames_; ///< of each piece: claimed by us to read into, or null
  std::size_t asked_pieces_ = 0;          ///< the pieces from here on are read ahead
  std::vector<MemoryPin> pins_;
  std::vector<PageCache::Frame*> pinned_; ///< ours until release()
  std::vector<Waiting> waiting_;
  PageCache* cache_ = nullptr; ///< whose frames these are
};

} // namespace vmemfs
