// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/page_batch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmemfs::xen {
namespace {

/// The errno if a whole mapping failed.
ErrorKind kind_of_failure(int os_errno) {
  switch (os_errno) {
  case ESRCH: return ErrorKind::vm_gone;
  case ENOMEM: return ErrorKind::no_memory;
  default: return ErrorKind::source_failed;
  }
}

/// PV guest frames without a page are not tried, as mapping would fail for all frames.
bool is_still(const MachineTable* table, Frame frame, Gfn gfn) {
  return table == nullptr || (frame != Layout::kNoFrame && table->guest_frame(frame) == gfn.value());
}

} // namespace

BatchOutcome PageBatch::read(const Source& source, std::span<ReadPiece> pieces) {
  page_count_ = 0;
  part_count_ = 0;
  outcome_ = {};
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure.reset();
    plan(source, piece);
  }
  fetch(source);
  return outcome_;
}

/// Splits the piece at page borders, up to the first address without memory.
void PageBatch::plan(const Source& source, ReadPiece& piece) {
  std::size_t at = 0;
  while (at < piece.buffer.size()) {
    const auto stretch = source.layout.map.at(piece.gpa + at);
    if (stretch.region == nullptr) {
      if (!piece.failure) { // set by an earlier mapping
        piece.failure = ErrorKind::hole;
      }
      return;
    }
    const std::size_t end = std::min<std::uint64_t>(piece.buffer.size(), stretch.range.end - piece.gpa);
    while (at < end) {
      const std::size_t size = std::min<std::size_t>(end - at, kPageSize - (piece.gpa + at).page_offset());
      add_page(source, piece, at, size);
      at += size;
    }
  }
}

void PageBatch::add_page(const Source& source, ReadPiece& piece, std::size_t at, std::size_t size) {
  const Gpa here = piece.gpa + at;
  const Gfn gfn{here};
  const bool same_page = page_count_ > 0 && gfns_[page_count_ - 1] == gfn;
  if (part_count_ == parts_.size() || (!same_page && page_count_ == frames_.size())) {
    fetch(source);
  }
  if (page_count_ == 0 || gfns_[page_count_ - 1] != gfn) {
    gfns_[page_count_] = gfn;
    frames_[page_count_] = source.layout.frame_of(gfn);
    ++page_count_;
  }
  parts_[part_count_++] = {&piece, at, size, page_count_ - 1, here.page_offset()};
}

void PageBatch::fetch(const Source& source) {
  if (page_count_ > 0 && !outcome_.gone) {
    if (source.allowance != nullptr && (*source.allowance)() < page_count_) {
      fail_all(ErrorKind::bad_page);
    } else if (const auto pages = source.memory.map(std::span{frames_}.first(page_count_),
                                                    std::span{errors_}.first(page_count_))) {
      copy(source, *pages);
    } else {
      outcome_.gone = pages.error() == ESRCH;
      fail_all(kind_of_failure(pages.error()));
    }
  } else {
    fail_all(ErrorKind::vm_gone);
  }
  page_count_ = 0;
  part_count_ = 0;
}

void PageBatch::copy(const Source& source, const ForeignPages& pages) {
  for (const Part& part : std::span{parts_}.first(part_count_)) {
    ReadPiece& piece = *part.piece;
    if (piece.done != part.at) { // it ended earlier
      continue;
    }
    const int error = errors_[part.page];
    if (error == ESRCH) {
      outcome_.gone = true;
      end_piece(part, ErrorKind::vm_gone);
    } else if (error != 0 || !is_still(source.machine_table, frames_[part.page], gfns_[part.page])) {
      outcome_.refused = true;
      end_piece(part, ErrorKind::bad_page);
    } else {
      std::memcpy(piece.buffer.data() + part.at, pages.page(part.page).data() + part.page_offset, part.size);
      piece.done += part.size;
    }
  }
}

void PageBatch::fail_all(ErrorKind kind) {
  for (const Part& part : std::span{parts_}.first(part_count_)) {
    if (part.piece->done == part.at) {
      end_piece(part, kind);
    }
  }
}

/// Also replaces a hole that is further on.
void PageBatch::end_piece(const Part& part, ErrorKind kind) { part.piece->failure = kind; }

} // namespace vmemfs::xen
