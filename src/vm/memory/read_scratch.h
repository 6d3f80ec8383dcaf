// SPDX-License-Identifier: MIT
// Reusable buffers of a read of guest memory, so that a read does not allocate.
#pragma once

#include "core/gpa.h"
#include "driver/driver.h"
#include "util/memory/page_memory.h"
#include "vm/cache/page_cache.h"
#include "vm/memory/pending_pieces.h"

#include <cstddef>
#include <memory>
#include <span>
#include <sys/uio.h>
#include <utility>
#include <vector>

namespace vmemfs {

/// For one thread at a time. The bytes of a read are arranged in order: borrowed from the driver, cached
/// pages, zeros, or read into the staging buffer. A ReadPlan fills it; whoever requested the read takes the
/// bytes.
class ReadScratch {
public:
  static constexpr std::size_t kStaging = std::size_t{1} << 20U; ///< max size of a read

  /// With a buffer of its own, which takes as much memory as the largest read used. `staging`: the max size
  /// of a read, at most kStaging.
  explicit ReadScratch(std::size_t staging = kStaging);
  /// Two that share a huge page, if the kernel has one: faster for large reads. Takes twice kStaging at the
  /// first read.
  [[nodiscard]] static std::pair<ReadScratch, ReadScratch> two();
  ~ReadScratch() { release(); }
  // Moving between two scratches in use swaps their contents. A moved-from one can only be assigned to.
  ReadScratch(ReadScratch&& other) noexcept = default;
  ReadScratch& operator=(ReadScratch&& other) noexcept = default;
  ReadScratch(const ReadScratch&) = delete;
  ReadScratch& operator=(const ReadScratch&) = delete;

  /// The bytes of the last read, in order. Valid until the next read with this scratch or release().
  [[nodiscard]] std::span<const iovec> data() const { return data_; }
  /// Number of these bytes.
  [[nodiscard]] std::size_t size() const {
    std::size_t size = 0;
    for (const iovec& bytes : data_) {
      size += bytes.iov_len;
    }
    return size;
  }

  /// Whether all bytes are copies, some of them read by the driver, so that they cannot change.
  [[nodiscard]] bool is_copy() const { return staged_ > 0 && pins_.empty() && pages_.empty(); }

  /// The max size of a read.
  [[nodiscard]] std::size_t capacity() const { return staging_.size(); }

  /// Releases borrowed memory and cached pages; call it once the bytes are delivered.
  void release();

  /// Puts bytes before the byte `position` of the answer, at a border of two ranges that were read. They stay
  /// valid while the answer is used.
  void insert(std::size_t position, std::span<const std::byte> bytes);
  /// Truncates the answer to `keep` bytes.
  void truncate(std::size_t keep);
  /// Room for the list of ranges that is to be read; kept between reads.
  [[nodiscard]] std::vector<GpaRange>& ranges() { return ranges_; }

  // What follows is for ReadPlan.

  /// Begins an empty answer. `cache`: the owner of all frames; null if none is used.
  void clear(PageCache* cache);

  /// Appends bytes that stay valid while the answer is used.
  void add(std::span<const std::byte> bytes) {
    // An iovec has no const; its users only read.
    data_.push_back({const_cast<std::byte*>(bytes.data()), bytes.size()});
  }
  /// Appends memory borrowed from the driver.
  void add_borrowed(std::span<const std::byte> bytes, MemoryPin&& pin) {
    add(bytes);
    pins_.push_back(std::move(pin));
  }
  [[nodiscard]] bool has_borrowed() const { return !pins_.empty(); }

  /// Appends a slot of `size` bytes, to be filled later; returns its number.
  [[nodiscard]] std::size_t add_slot(std::size_t size) {
    data_.push_back({nullptr, size});
    return data_.size() - 1;
  }
  void fill_slot(std::size_t slot, std::span<std::byte> bytes) { data_[slot].iov_base = bytes.data(); }

  /// Takes part of the staging buffer. All parts of one read together have at most capacity() bytes.
  [[nodiscard]] std::span<std::byte> take_staging(std::size_t size) {
    const auto buffer = staging_.subspan(staged_, size);
    staged_ += size;
    return buffer;
  }

  /// Unpins a page of the cache on release().
  void keep_page(PageCache::Frame* pinned) { pages_.push_back(pinned); }

  [[nodiscard]] PendingPieces& pending() { return pending_; }

  static constexpr std::size_t kAll = ~std::size_t{0};
  /// The number of bytes of the answer before the first one that lies in `buffer`, at `done` or later; kAll
  /// if there is none.
  [[nodiscard]] std::size_t bytes_before(std::span<const std::byte> buffer, std::size_t done) const;

private:
  ReadScratch(std::shared_ptr<const PageMemory> memory, std::span<std::byte> staging);

  void reserve();

  std::shared_ptr<const PageMemory> memory_;
  std::span<std::byte> staging_; ///< in memory_
  std::size_t staged_ = 0;
  std::vector<iovec> data_;
  std::vector<MemoryPin> pins_;
  std::vector<GpaRange> ranges_;
  std::vector<PageCache::Frame*> pages_; ///< pinned until release()
  PendingPieces pending_;
  PageCache* cache_ = nullptr; ///< owner of all frames
};

} // namespace vmemfs
