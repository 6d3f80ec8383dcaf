// SPDX-License-Identifier: MIT
// Bytes that a read still lacks: pieces that the driver is to read, and parts of pages that other readers are
// reading.
#pragma once

#include "core/gpa.h"
#include "driver/driver.h"
#include "vm/cache/page_cache.h"

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace vmemfs {

/// Not thread-safe. Keeps its memory between reads.
class PendingPieces {
public:
  /// A part of a page that another thread is reading, and its slot in the answer.
  struct Awaited {
    GpaRange part;
    std::size_t slot;
  };

  PendingPieces() {
    constexpr std::size_t kUsual = 16;
    pieces_.reserve(kUsual);
    frames_.reserve(kUsual);
  }

  /// Appends a piece for the driver. `claimed`: the frame that it fills, if any.
  void add(Gpa gpa, std::span<std::byte> buffer, PageCache::Frame* claimed = nullptr) {
    frames_.push_back(claimed);
    pieces_.push_back({gpa, buffer, 0, std::nullopt});
  }

  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  [[nodiscard]] std::size_t size() const { return pieces_.size(); }
  /// As one batch for the driver.
  [[nodiscard]] std::span<ReadPiece> pieces() { return pieces_; }
  /// The frame claimed for a piece, or null. The caller must publish or abandon it; later calls return null.
  [[nodiscard]] PageCache::Frame* take_frame(std::size_t piece) {
    return std::exchange(frames_[piece], nullptr);
  }
  /// Removes the pieces. Their frames must have been taken.
  void clear_pieces() {
    pieces_.clear();
    frames_.clear();
  }

  void await(const Awaited& page) { awaited_.push_back(page); }
  [[nodiscard]] std::span<const Awaited> awaited() const { return awaited_; }
  void clear_awaited() { awaited_.clear(); }

  /// Abandons the frames that a read left when it ended early.
  void abandon_frames(PageCache* cache) {
    for (PageCache::Frame* const frame : frames_) {
      if (frame != nullptr) {
        cache->abandon(frame, false);
      }
    }
    frames_.clear();
  }

private:
  std::vector<ReadPiece> pieces_;
  std::vector<PageCache::Frame*> frames_; ///< of each piece: the frame claimed for it, or null
  std::vector<Awaited> awaited_;
};

} // namespace vmemfs
