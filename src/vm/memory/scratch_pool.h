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

/// Thread-safe. Keeps at most kept_limit() buffers that no read uses; on a busy host many more threads than
/// CPUs may each have one for a moment, and what they hold then must not stay with the daemon.
class ScratchPool {
public:
  /// As many as reads really run at once, and at least 8.
  [[nodiscard]] static std::size_t kept_limit();

  /// A scratch for one read; returned on destruction, after its borrowed memory is released.
  class Lease {
  public:
    explicit Lease(ScratchPool& pool) : pool_{pool}, scratch_{pool.take()} {}
    ~Lease() { pool_.give_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    [[nodiscard]] ReadScratch& operator*() { return *scratch_; }

  private:
    ScratchPool& pool_;
    std::unique_ptr<ReadScratch> scratch_;
  };

  /// How many buffers no read uses.
  [[nodiscard]] std::size_t kept() const;

private:
  std::unique_ptr<ReadScratch> take() EXCLUDES(mutex_);
  void give_back(std::unique_ptr<ReadScratch> scratch) EXCLUDES(mutex_);

  mutable Mutex mutex_; ///< leaf
  std::vector<std::unique_ptr<ReadScratch>> free_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
