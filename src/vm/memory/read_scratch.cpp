// SPDX-License-Identifier: MIT
#include "vm/memory/read_scratch.h"

#include <algorithm>
#include <new>
#include <sys/mman.h>

namespace vmemfs {

std::byte* ReadScratch::map_staging() {
  void* const mapped = ::mmap(nullptr, kStaging, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::bad_alloc{};
  }
  return static_cast<std::byte*>(mapped);
}

void ReadScratch::Unmap::operator()(std::byte* bytes) const noexcept { ::munmap(bytes, kStaging); }

ReadScratch::ReadScratch() : pages_{map_staging()}, staging_{pages_.get(), kStaging} {
  constexpr std::size_t kUsual = 16;
  data_.reserve(kUsual);
  pieces_.reserve(kUsual);
  frames_.reserve(kUsual);
  pins_.reserve(kUsual);
}

void ReadScratch::release() {
  pins_.clear();
  for (PageCache::Frame* const frame : frames_) {
    if (frame != nullptr) { // left by a read that ended early
      cache_->abandon(frame, false);
    }
  }
  frames_.clear();
  for (PageCache::Frame* const frame : pinned_) {
    cache_->unpin(frame);
  }
  pinned_.clear();
}

void ReadScratch::clear() {
  release();
  staged_ = 0;
  data_.clear();
  pieces_.clear();
  waiting_.clear();
  asked_pieces_ = 0;
}

void ReadScratch::add(std::span<const std::byte> bytes) {
  // An iovec has no const; its users only read.
  data_.push_back({const_cast<std::byte*>(bytes.data()), bytes.size()});
}

void ReadScratch::stage(GpaRange range) {
  const auto buffer = staging_.subspan(staged_, range.size());
  staged_ += buffer.size();
  add(buffer);
  pieces_.push_back({range.begin, buffer, 0, std::nullopt});
  frames_.push_back(nullptr);
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
