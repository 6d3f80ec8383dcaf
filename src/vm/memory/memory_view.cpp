// SPDX-License-Identifier: MIT
#include "vm/memory/memory_view.h"

#include "util/zeros.h"

#include <algorithm>

namespace vmemfs {

tl::expected<std::size_t, ErrorKind> MemoryView::read(std::uint64_t offset, std::size_t size,
                                                      HolePolicy policy, ReadScratch& scratch,
                                                      const CacheUse& use) {
  auto map = driver_.memory_map();
  for (bool retried = false;; retried = true) {
    const std::uint64_t end = map->ram_end().value();
    Attempt result;
    result.outside = offset >= end;
    scratch.clear();
    CachedPages cached{use, scratch};
    if (offset < end) {
      const std::uint64_t count = std::min<std::uint64_t>({size, kMaxRead, end - offset});
      result = attempt({*map, {Gpa{offset}, Gpa{offset + count}}, policy, scratch, cached});
    }
    // The map may be stale: it has no region there, or the memory was removed meanwhile.
    if ((result.outside || result.failure == ErrorKind::source_failed) && !retried) {
      driver_.poll_layout(true);
      if (auto now = driver_.memory_map(); now != map) {
        map = std::move(now);
        continue;
      }
    }
    // If no byte came from the driver (holes, cached pages, the end), nobody has checked whether the VM
    // is alive.
    if (result.failure == ErrorKind::vm_gone || (!result.asked && driver_.gone())) {
      return tl::unexpected{ErrorKind::vm_gone};
    }
    if (result.failure && result.bytes == 0) {
      return tl::unexpected{*result.failure};
    }
    return result.bytes;
  }
}

/// Splits the range at region borders and builds the answer in scratch.
MemoryView::Attempt MemoryView::plan(const Request& request) {
  const auto& [map, range, policy, scratch, cached] = request;
  Attempt attempt;
  DirectMemory* const direct = driver_.direct_memory();
  for (Gpa here = range.begin; here < range.end;) {
    const MemoryMap::Stretch stretch = map.at(here);
    const std::size_t count = std::min(stretch.range.end, range.end) - here;
    if (stretch.region == nullptr) {
      attempt.outside = true;
      if (policy == HolePolicy::honest) {
        attempt.failure = ErrorKind::hole;
        attempt.cut = here;
        break;
      }
      scratch.add(zeros().first(count));
    } else {
      MemoryPin pin;
      const auto borrowed =
          direct != nullptr ? direct->borrow(here, count, pin) : std::span<const std::byte>{};
      if (!borrowed.empty()) {
        scratch.add(borrowed);
        scratch.pins_.push_back(std::move(pin));
      } else if (cached.used()) {
        cached.plan(*stretch.region, {here, here + count});
      } else {
        scratch.stage({here, here + count});
      }
    }
    here = here + count;
  }
  scratch.asked_pieces_ = scratch.pieces_.size();
  attempt.asked = !scratch.pieces_.empty() || !scratch.pins_.empty();
  return attempt;
}

/// Continues after each bad page of a piece; unreadable bytes become zeros. True if there was one.
bool MemoryView::read_past_bad_pages(ReadPiece& piece) {
  bool any = false;
  while (piece.failure == ErrorKind::bad_page) {
    any = true;
    const Gpa bad = piece.gpa + piece.done;
    bad_pages_.add(Gfn{bad});
    const std::size_t skip =
        std::min<std::size_t>(kPageSize - bad.page_offset(), piece.buffer.size() - piece.done);
    std::ranges::fill(piece.buffer.subspan(piece.done, skip), std::byte{0});
    piece.done += skip;
    piece.failure.reset();
    if (piece.done < piece.buffer.size()) {
      ReadPiece rest{piece.gpa + piece.done, piece.buffer.subspan(piece.done), 0, std::nullopt};
      driver_.read({&rest, 1});
      piece.done += rest.done;
      piece.failure = rest.failure;
    }
  }
  return any;
}

/// Has the driver read all pieces, and records the lowest failure among the requested ones.
void MemoryView::fetch(const Request& request, Attempt& result) {
  ReadScratch& scratch = request.scratch;
  driver_.read(scratch.pieces_);
  for (std::size_t i = 0; i < scratch.pieces_.size(); ++i) {
    ReadPiece& piece = scratch.pieces_[i];
    const bool asked = i < scratch.asked_pieces_;
    const bool padded = asked && request.policy == HolePolicy::padded && read_past_bad_pages(piece);
    request.cached.settle(i, !piece.failure && !padded);
    // The read may need only a part of a cached page.
    const Gpa cut = std::max(piece.gpa + piece.done, request.range.begin);
    if (!asked || !piece.failure || cut >= request.range.end) {
      continue;
    }
    if (piece.failure == ErrorKind::vm_gone || (cut < result.cut && result.failure != ErrorKind::vm_gone)) {
      result.cut = cut;
      result.failure = piece.failure;
      result.outside = result.outside || piece.failure == ErrorKind::hole;
    }
  }
}

MemoryView::Attempt MemoryView::attempt(const Request& request) {
  ReadScratch& scratch = request.scratch;
  Attempt result = plan(request);
  if (request.cached.used()) {
    request.cached.plan_prefetch(request.map, request.range.end);
  }
  if (!scratch.pieces_.empty()) {
    fetch(request, result);
  }
  if (!scratch.waiting_.empty()) {
    request.cached.wait();
    if (!scratch.pieces_.empty()) {
      fetch(request, result);
    }
  }
  if (request.cached.used()) {
    cache_counters_.add(request.cached.counts());
  }
  if (result.cut < request.range.end) {
    scratch.truncate(result.cut - request.range.begin);
  }
  for (const iovec& bytes : scratch.data_) {
    result.bytes += bytes.iov_len;
  }
  return result;
}

void MemoryView::prefetch(GpaRange range, ReadScratch& scratch, const CacheUse& use) {
  const auto map = driver_.memory_map();
  scratch.clear();
  CachedPages cached{use, scratch};
  cached.claim_prefetch(*map, range);
  if (scratch.pieces_.empty()) {
    return;
  }
  driver_.read(scratch.pieces_);
  for (std::size_t i = 0; i < scratch.pieces_.size(); ++i) {
    cached.settle(i, !scratch.pieces_[i].failure);
  }
  cache_counters_.add(cached.counts());
}

tl::expected<std::uint64_t, ErrorKind> MemoryView::seek_data(std::uint64_t offset) const {
  const auto map = driver_.memory_map();
  const auto stretch = map->at(Gpa{offset});
  const Gpa data = stretch.region != nullptr ? Gpa{offset} : stretch.range.end;
  if (data >= map->ram_end()) {
    return tl::unexpected{ErrorKind::past_end};
  }
  return data.value();
}

tl::expected<std::uint64_t, ErrorKind> MemoryView::seek_hole(std::uint64_t offset) const {
  const auto map = driver_.memory_map();
  if (Gpa{offset} >= map->ram_end()) {
    return tl::unexpected{ErrorKind::past_end};
  }
  Gpa here{offset};
  for (auto stretch = map->at(here); stretch.region != nullptr; stretch = map->at(here)) {
    here = stretch.range.end;
  }
  return std::min(here, map->ram_end()).value();
}

} // namespace vmemfs
