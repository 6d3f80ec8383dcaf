#include "vm/memory_view.h"

#include "util/zeros.h"

#include <algorithm>

namespace vmemfs {
namespace {

iovec to_iovec(std::span<const std::byte> bytes) {
  // An iovec has no const; whoever gets it only reads.
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

/// Cuts the list of bytes after `keep` bytes.
void truncate(std::vector<iovec>& data, std::size_t keep) {
  std::size_t i = 0;
  for (; i < data.size() && keep > 0; ++i) {
    data[i].iov_len = std::min(data[i].iov_len, keep);
    keep -= data[i].iov_len;
  }
  data.resize(i);
}

} // namespace

ReadScratch::ReadScratch() : staging_{std::make_unique_for_overwrite<std::byte[]>(MemoryView::kMaxRead)} {
  constexpr std::size_t kUsual = 16;
  data_.reserve(kUsual);
  pieces_.reserve(kUsual);
  pins_.reserve(kUsual);
}

void ReadScratch::clear() {
  staged_ = 0;
  data_.clear();
  pieces_.clear();
  pins_.clear();
}

tl::expected<std::size_t, ErrorKind> MemoryView::read(std::uint64_t offset, std::size_t size,
                                                      HolePolicy policy, ReadScratch& scratch) {
  auto map = driver_.memory_map();
  for (bool retried = false;; retried = true) {
    const std::uint64_t end = map->ram_end().value();
    Attempt result;
    result.outside = offset >= end;
    scratch.clear();
    if (offset < end) {
      const std::uint64_t count = std::min<std::uint64_t>({size, kMaxRead, end - offset});
      result = attempt(*map, {Gpa{offset}, Gpa{offset + count}}, policy, scratch);
    }
    // The map may be old: it has nothing there, or the memory went away under it.
    if ((result.outside || result.failure == ErrorKind::source_failed) && !retried) {
      driver_.follow_layout(true);
      if (auto now = driver_.memory_map(); now != map) {
        map = std::move(now);
        continue;
      }
    }
    // Where no byte had to come from the driver (holes, the end), nobody has looked whether it lives.
    const bool asked = !scratch.pieces_.empty() || !scratch.pins_.empty();
    if (result.failure == ErrorKind::vm_gone || (!asked && driver_.gone())) {
      return tl::unexpected{ErrorKind::vm_gone};
    }
    if (result.failure && result.bytes == 0) {
      return tl::unexpected{*result.failure};
    }
    return result.bytes;
  }
}

/// Cuts [begin, end) at the borders of regions and lays the pieces out in scratch.
MemoryView::Attempt MemoryView::plan(const MemoryMap& map, GpaRange range, HolePolicy policy,
                                     ReadScratch& scratch) {
  Attempt attempt;
  DirectMemory* const direct = driver_.direct_memory();
  for (Gpa here = range.begin; here < range.end;) {
    const MemoryMap::Stretch stretch = map.at(here);
    const std::size_t count = std::min(stretch.range.end, range.end) - here;
    if (stretch.region == nullptr) {
      attempt.outside = true;
      if (policy == HolePolicy::honest) {
        attempt.failure = ErrorKind::hole;
        return attempt;
      }
      scratch.data_.push_back(to_iovec(zeros().first(count)));
    } else {
      MemoryPin pin;
      const auto borrowed =
          direct != nullptr ? direct->borrow(here, count, pin) : std::span<const std::byte>{};
      if (!borrowed.empty()) {
        scratch.data_.push_back(to_iovec(borrowed));
        scratch.pins_.push_back(std::move(pin));
      } else {
        const std::span buffer{scratch.staging_.get() + scratch.staged_, count};
        scratch.staged_ += count;
        scratch.data_.push_back(to_iovec(buffer));
        scratch.pieces_.push_back({here, buffer, 0, std::nullopt});
      }
    }
    here = here + count;
  }
  return attempt;
}

/// Goes on behind each bad page of a piece; what could not be read is zeros.
void MemoryView::read_past_bad_pages(ReadPiece& piece) {
  while (piece.failure == ErrorKind::bad_page) {
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
}

MemoryView::Attempt MemoryView::attempt(const MemoryMap& map, GpaRange range, HolePolicy policy,
                                        ReadScratch& scratch) {
  Attempt result = plan(map, range, policy, scratch);
  if (!scratch.pieces_.empty()) {
    driver_.read(scratch.pieces_);
  }
  std::optional<Gpa> cut;
  for (ReadPiece& piece : scratch.pieces_) {
    if (policy == HolePolicy::padded) {
      read_past_bad_pages(piece);
    }
    if (piece.failure == ErrorKind::vm_gone) {
      return {0, ErrorKind::vm_gone, false};
    }
    if (piece.failure && !cut) {
      cut = piece.gpa + piece.done;
      result.failure = piece.failure;
      result.outside = result.outside || piece.failure == ErrorKind::hole;
    }
  }
  if (cut) {
    truncate(scratch.data_, *cut - range.begin);
  }
  for (const iovec& bytes : scratch.data_) {
    result.bytes += bytes.iov_len;
  }
  return result;
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
