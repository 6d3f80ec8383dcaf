// SPDX-License-Identifier: MIT
#include "image/saved/kdump/kdump_file.h"

#include "core/gpa.h"
#include "image/saved/kdump/kdump_headers.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <iterator>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxRecords = std::size_t{1} << 22;

std::uint64_t big_endian(std::uint64_t value) { return __builtin_bswap64(value); }

} // namespace

Result<KdumpFile> KdumpFile::open(const SavedFile& file) {
  KdumpFile result;
  const auto magic = file.read_as<std::array<char, 16>>(0);
  if (magic != kFlattenedSignature) {
    result.size_ = file.size();
    return result;
  }
  result.flattened_ = true;
  result.cut_ = true;
  std::uint64_t at = kFlattenedHeaderBytes;
  for (std::size_t records = 0;; ++records) {
    const auto record = file.read_as<FlattenedRecord>(at);
    if (!record) {
      break;
    }
    if (records == kMaxRecords) { // counted, as those without bytes add nothing to the parts
      return fail(ErrorKind::invalid, "dump",
                  fmt::format("the flattened kdump file has more than {} records", kMaxRecords));
    }
    const std::uint64_t offset = big_endian(record->offset);
    const std::uint64_t size = big_endian(record->size);
    at += sizeof(FlattenedRecord);
    if (offset >= kGpaLimit || size >= kGpaLimit) { // negative: the end record
      result.cut_ = false;
      break;
    }
    const std::uint64_t there = std::min(size, file.size() - std::min(at, file.size()));
    if (there > 0 && offset < kGpaLimit - size) {
      result.put(offset, {offset + there, at});
      result.size_ = std::max(result.size_, offset + there);
    }
    if (there < size) {
      break;
    }
    at += size;
  }
  return result;
}

// A later record overwrites what earlier ones have there.
void KdumpFile::put(std::uint64_t begin, Part part) {
  auto next = parts_.lower_bound(begin);
  if (next != parts_.begin()) {
    const auto before = std::prev(next);
    const Part old = before->second;
    if (old.end > begin) {
      before->second.end = begin;
      if (old.end > part.end) {
        parts_.emplace(part.end, Part{old.end, old.at + (part.end - before->first)});
      }
    }
  }
  next = parts_.lower_bound(begin);
  while (next != parts_.end() && next->first < part.end) {
    const std::uint64_t next_begin = next->first;
    const Part old = next->second;
    next = parts_.erase(next);
    if (old.end > part.end) {
      parts_.emplace(part.end, Part{old.end, old.at + (part.end - next_begin)});
      break;
    }
  }
  parts_.insert_or_assign(begin, part);
}

std::size_t KdumpFile::read(const SavedFile& file, std::uint64_t offset, std::span<std::byte> to) const {
  if (!flattened_) {
    return file.read(offset, to);
  }
  std::size_t done = 0;
  while (done < to.size() && offset < kGpaLimit - done) {
    const std::uint64_t here = offset + done;
    const auto next = parts_.upper_bound(here);
    if (next == parts_.begin() || std::prev(next)->second.end <= here) {
      break;
    }
    const auto& [begin, part] = *std::prev(next);
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(to.size() - done, part.end - here));
    const std::size_t count = file.read(part.at + (here - begin), to.subspan(done, wanted));
    done += count;
    if (count < wanted) {
      break;
    }
  }
  return done;
}

} // namespace vmemfs
