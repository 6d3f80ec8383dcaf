// SPDX-License-Identifier: MIT
#include "vm/memory/address_space.h"

#include "vm/memory/memory_view.h"
#include "vm/memory/scattered_read.h"

#include <algorithm>

namespace vmemfs {
tl::expected<std::size_t, ErrorKind> AddressSpace::read(std::uint64_t offset, std::size_t size,
                                                        HolePolicy policy, ReadScratch& scratch,
                                                        ReadAhead* read_ahead) {
  const GpaRange range = MemoryView::range_of(offset, size);
  return read({&range, 1}, policy, scratch, read_ahead);
}

void AddressSpace::copy(std::span<ReadPiece> pieces) {
  for (ReadPiece& piece : pieces) {
    piece.failure = ErrorKind::unsupported;
  }
}

tl::expected<void, ErrorKind> AddressSpace::read_each(std::span<ReadPiece> pieces) {
  const auto now = map();
  ScatteredRead read{*now, pieces};
  copy(read.parts());
  read.finish();
  return read.vm_gone() ? tl::expected<void, ErrorKind>{tl::unexpect, ErrorKind::vm_gone}
                        : tl::expected<void, ErrorKind>{};
}

UseSearch MemorySearch::find(const MemoryMap::Stretch& stretch, MemoryUse wanted) {
  if (stretch.region->kind != RegionKind::ram || std::chrono::steady_clock::now() >= end_) {
    return all_held(stretch.range.size(), wanted);
  }
  const UseSearch result = memory_.find(stretch.range, wanted);
  const bool advances = result.found || result.before > 0;
  return advances ? result : all_held(stretch.range.size(), wanted);
}

tl::expected<std::uint64_t, ErrorKind> seek_data(AddressSpace& memory, std::uint64_t offset) {
  MemorySearch seek{memory};
  Gpa here{offset};
  while (here < seek.map().ram_end()) {
    const auto stretch = seek.map().at(here);
    if (stretch.region == nullptr) {
      here = stretch.range.end;
      continue;
    }
    const UseSearch held = seek.find(stretch, MemoryUse::held);
    here = std::min(here + held.before, stretch.range.end);
    if (held.found) {
      return here.value();
    }
  }
  return tl::unexpected{ErrorKind::past_end};
}

tl::expected<std::uint64_t, ErrorKind> seek_hole(AddressSpace& memory, std::uint64_t offset) {
  MemorySearch seek{memory};
  const Gpa end = seek.map().ram_end();
  if (Gpa{offset} >= end) {
    return tl::unexpected{ErrorKind::past_end};
  }
  Gpa here{offset};
  while (here < end) {
    const auto stretch = seek.map().at(here);
    if (stretch.region == nullptr) {
      break;
    }
    const UseSearch sparse = seek.find(stretch, MemoryUse::sparse);
    here = std::min(here + sparse.before, stretch.range.end);
    if (sparse.found) {
      break;
    }
  }
  return std::min(here, end).value();
}

} // namespace vmemfs
