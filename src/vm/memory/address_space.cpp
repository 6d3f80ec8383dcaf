// SPDX-License-Identifier: MIT
#include "vm/memory/address_space.h"

#include "vm/memory/memory_view.h"
#include "vm/memory/scattered_read.h"

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

} // namespace vmemfs
