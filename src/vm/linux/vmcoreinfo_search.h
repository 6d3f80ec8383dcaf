// SPDX-License-Identifier: MIT
// Search of main memory for pages that may be a VMCOREINFO. Memory that the guest has never touched is left
// out.
#pragma once

#include "core/gpa.h"
#include "core/memory_map.h"
#include "vm/memory/address_space.h"
#include "vm/memory/memory_search.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

/// Of one call of a finder. Not thread-safe. Waits for the guest's memory.
class VmcoreinfoSearch {
public:
  /// Gets the address of a page that begins as a VMCOREINFO does. Whether the search is to stop.
  using Examine = std::function<bool(Gpa page)>;

  enum class End : std::uint8_t {
    complete, ///< all memory was searched
    stopped,  ///< by the caller
    limit,    ///< of time or of pages; the next search is to begin at position()
    failure,  ///< of the source of the memory
  };

  /// Max number of pages that are examined by one search.
  static constexpr unsigned kMaxExamined = 64;

  /// `memory` outlives this object.
  VmcoreinfoSearch(AddressSpace& memory, Gpa from, std::chrono::seconds limit)
      : memory_{memory}, position_{from}, buffer_(AddressSpace::kMaxRead), deadline_{Clock::now() + limit} {}

  End run(const Examine& examine);

  [[nodiscard]] Gpa position() const { return position_; }
  [[nodiscard]] unsigned examined() const { return examined_; }
  /// Why a search that ended so has found nothing. limit or failure.
  [[nodiscard]] static std::string reason(End end);

private:
  using Clock = std::chrono::steady_clock;

  /// Moves to the next memory that the guest has touched; returns its end.
  [[nodiscard]] Gpa next_held(MemorySearch& search, const Region& region);
  [[nodiscard]] End search_until(Gpa end, const Examine& examine);
  /// Whole pages at position_, which moves behind those that were examined.
  [[nodiscard]] End search_bytes(std::span<const std::byte> bytes, const Examine& examine);

  AddressSpace& memory_;
  Gpa position_;
  std::vector<std::byte> buffer_;
  unsigned examined_ = 0;
  const Clock::time_point deadline_;
};

} // namespace vmemfs
