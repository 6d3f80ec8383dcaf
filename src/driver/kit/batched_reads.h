// SPDX-License-Identifier: MIT
// Driver::read() for a source that takes requests of ranges, each of which is answered or fails as a whole.
//
// A request costs much more than a page, so adjacent pieces are fetched by one, including small gaps between
// them. A request never crosses the end of a region. If it fails with bad_page it is divided, and its parts
// again, down to pages, so that what can be read is.
//
// Thread-safe, if the fetching is.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "driver/driver.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>

namespace vmemfs {

class BatchedReads {
public:
  using Take = std::function<void(std::span<const std::byte>)>;
  /// Reads a range that lies in one region of the map, and hands its bytes to `take` unless it fails.
  using Fetch = std::function<Result<void>(Gpa gpa, std::size_t size, const Take& take)>;

  /// A gap of up to this size between two pieces is fetched as well.
  static constexpr std::size_t kBridged = 2 * kPageSize;

  /// `max_request`: bytes of one, whole pages. `parts`: of a request that failed, at least 2; more of them
  /// find a bad page with more requests, but fewer failures, which pays if a failure takes longer.
  BatchedReads(std::size_t max_request, Fetch fetch, std::size_t parts = 2)
      : max_request_{max_request}, parts_{parts}, fetch_{std::move(fetch)} {}

  /// As Driver::read(), within `map` alone.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map) const;

  /// Measured with some reads of existing memory.
  [[nodiscard]] Result<ReadCost> measure(const MemoryMap& map) const;

private:
  const std::size_t max_request_;
  const std::size_t parts_;
  const Fetch fetch_;
};

/// Such as "one request at a time: 50 us a request and 900 ns each 4 KiB, measured while attaching; up to 64
/// KiB a request", for the AccessReport.
[[nodiscard]] std::string describe_requests(const ReadCost& cost, std::size_t max_request);

} // namespace vmemfs
