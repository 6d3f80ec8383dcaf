// SPDX-License-Identifier: MIT
#include "vm/linux/vmcoreinfo_search.h"

#include "linux/vmcoreinfo.h"

#include <algorithm>
#include <string_view>

namespace vmemfs {

VmcoreinfoSearch::End VmcoreinfoSearch::run(const Examine& examine) {
  MemorySearch search{memory_};
  for (const Region& region : search.map().regions()) {
    if (region.kind != RegionKind::ram) {
      continue;
    }
    position_ = std::max(position_, region.range.begin);
    while (position_ < region.range.end) {
      const Gpa end = next_held(search, region);
      if (const End ended = search_until(end, examine); ended != End::complete) {
        return ended;
      }
    }
  }
  return End::complete;
}

std::string VmcoreinfoSearch::reason(End end) {
  return end == End::limit ? "the search of the guest's memory took too long; it goes on at the next read"
                           : "the guest's memory cannot be read; see last_error in control";
}

Gpa VmcoreinfoSearch::next_held(MemorySearch& search, const Region& region) {
  const auto rest = [&] { return MemoryMap::Stretch{&region, {position_, region.range.end}}; };
  position_ = std::min(position_ + search.find(rest(), MemoryUse::held).before, region.range.end);
  if (position_ == region.range.end) {
    return position_;
  }
  position_ = position_.page_start();
  const Gpa end = position_ + search.find(rest(), MemoryUse::sparse).before;
  return std::min(std::max(end, position_ + 1), region.range.end);
}

VmcoreinfoSearch::End VmcoreinfoSearch::search_until(Gpa end, const Examine& examine) {
  while (position_ < end) {
    if (Clock::now() >= deadline_) {
      return End::limit;
    }
    const Gpa begin = position_;
    const std::size_t size = std::min<std::uint64_t>(buffer_.size(), end - begin);
    ReadPiece piece{begin, std::span{buffer_}.first(size), 0, std::nullopt};
    memory_.copy({&piece, 1});
    if (const End ended = search_bytes(piece.buffer.first(piece.done), examine); ended != End::complete) {
      return ended;
    }
    if (piece.failure && piece.failure != ErrorKind::bad_page && piece.failure != ErrorKind::hole) {
      return End::failure;
    }
    // At a page that cannot be read, or at the last part of one.
    if (piece.failure || position_ == begin) {
      position_ = position_ + kPageSize;
    }
  }
  return End::complete;
}

VmcoreinfoSearch::End VmcoreinfoSearch::search_bytes(std::span<const std::byte> bytes,
                                                     const Examine& examine) {
  for (; bytes.size() >= kPageSize; bytes = bytes.subspan(kPageSize), position_ = position_ + kPageSize) {
    const std::string_view text{reinterpret_cast<const char*>(bytes.data()), kVmcoreinfoBegin.size()};
    if (text != kVmcoreinfoBegin) {
      continue;
    }
    if (examined_ == kMaxExamined || Clock::now() >= deadline_) {
      return End::limit;
    }
    ++examined_;
    if (examine(position_)) {
      return End::stopped;
    }
  }
  return End::complete;
}

} // namespace vmemfs
