// SPDX-License-Identifier: MIT
// Pool of read buffers, reused last in, first out.
//
// The kernel wakes waiting threads in turn, so a buffer per thread would always be the one that has been
// out of the CPU's caches for the longest time.
#pragma once

#include "util/mutex.h"
#include "vm/memory/read_scratch.h"

#include <cstddef>
#include <memory>
#include <vector>

namespace vmemfs {

/// Thread-safe. Keeps a number of buffers that no read uses; on a busy host many more threads than CPUs may
/// each have one for a moment, and what they hold then must not stay with the daemon. Reads of a page and
/// less have buffers of their own, all of which are kept: a thread that has answered such a read may not run
/// for a while, and to make the next one's takes longer than the read, in a huge page many times as long.
class ScratchPool {
  /// Buffers of one size.
  class Shelf {
  public:
    Shelf(std::size_t read_size, std::size_t limit) : read_size_{read_size}, limit_{limit} {}
    std::unique_ptr<ReadScratch> take() EXCLUDES(mutex_);
    void give_back(std::unique_ptr<ReadScratch> scratch) EXCLUDES(mutex_);
    [[nodiscard]] std::size_t kept() const EXCLUDES(mutex_);

  private:
    const std::size_t read_size_;
    const std::size_t limit_;
    mutable Mutex mutex_; ///< leaf
    std::vector<std::unique_ptr<ReadScratch>> free_ GUARDED_BY(mutex_);
  };

public:
  /// Of a page and less.
  static constexpr std::size_t kSmallRead = 4096;
  /// Of buffers for larger reads: as many as really run at once, and at least 8.
  [[nodiscard]] static std::size_t kept_limit();

  /// A scratch for one read of up to `size` bytes, ReadScratch::kStaging at most; returned on destruction,
  /// after its borrowed memory is released.
  class Lease {
  public:
    Lease(ScratchPool& pool, std::size_t size)
        : shelf_{size <= kSmallRead ? pool.small_ : pool.large_}, scratch_{shelf_.take()} {}
    ~Lease() { shelf_.give_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    [[nodiscard]] ReadScratch& operator*() { return *scratch_; }

  private:
    Shelf& shelf_;
    std::unique_ptr<ReadScratch> scratch_;
  };

  /// How many buffers for larger reads no read uses.
  [[nodiscard]] std::size_t kept() const { return large_.kept(); }

private:
  /// As many as threads that read: a MiB.
  static constexpr std::size_t kSmallKept = 256;
  Shelf small_{kSmallRead, kSmallKept};
  Shelf large_{ReadScratch::kStaging, kept_limit()};
};

} // namespace vmemfs
