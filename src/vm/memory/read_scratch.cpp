// SPDX-License-Identifier: MIT
#include "vm/memory/read_scratch.h"

#include <algorithm>
#include <functional>

namespace vmemfs {

ReadScratch::ReadScratch(std::size_t staging)
    : memory_{std::make_shared<const PageMemory>(staging)}, staging_{memory_->bytes()} {
  reserve();
}

ReadScratch::ReadScratch(std::shared_ptr<const PageMemory> memory, std::span<std::byte> staging)
    : memory_{std::move(memory)}, staging_{staging} {
  reserve();
}

void ReadScratch::reserve() {
  constexpr std::size_t kUsual = 16;
  data_.reserve(kUsual);
  pins_.reserve(kUsual);
}

std::pair<ReadScratch, ReadScratch> ReadScratch::two() {
  static_assert(2 * kStaging == PageMemory::kHugePage);
  auto memory = std::make_shared<const PageMemory>(2 * kStaging);
  const auto bytes = memory->bytes();
  return {ReadScratch{memory, bytes.first(kStaging)}, ReadScratch{memory, bytes.last(kStaging)}};
}

void ReadScratch::release() {
  pins_.clear();
  pending_.abandon_frames(cache_);
  for (PageCache::Frame* const frame : pages_) {
    cache_->unpin(frame);
  }
  pages_.clear();
}

void ReadScratch::clear(PageCache* cache) {
  release();
  staged_ = 0;
  data_.clear();
  pending_.clear_pieces();
  pending_.clear_awaited();
  cache_ = cache;
}

std::size_t ReadScratch::bytes_before(std::span<const std::byte> buffer, std::size_t done) const {
  const std::less<> below; // orders pointers into different objects too
  std::size_t before = 0;
  for (const iovec& bytes : data_) {
    const auto* const begin = static_cast<const std::byte*>(bytes.iov_base);
    if (!below(begin, buffer.data()) && below(begin, buffer.data() + buffer.size())) {
      const auto skipped = static_cast<std::size_t>(begin - buffer.data());
      const std::size_t valid = done - std::min(done, skipped);
      return valid < bytes.iov_len ? before + valid : kAll;
    }
    before += bytes.iov_len;
  }
  return kAll;
}

void ReadScratch::insert(std::size_t position, std::span<const std::byte> bytes) {
  auto place = data_.begin();
  for (; place != data_.end() && position >= place->iov_len && position > 0; ++place) {
    position -= place->iov_len;
  }
  // An iovec has no const; its users only read.
  data_.insert(place, {const_cast<std::byte*>(bytes.data()), bytes.size()});
}

void ReadScratch::truncate(std::size_t keep) {
  std::size_t i = 0;
  for (; i < data_.size() && keep > 0; ++i) {
    data_[i].iov_len = std::min(data_[i].iov_len, keep);
    keep -= data_[i].iov_len;
  }
  data_.resize(i);
}

} // namespace vmemfs
