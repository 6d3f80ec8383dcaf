// SPDX-License-Identifier: MIT
#include "image/saved/kdump/kdump_parts.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fmt/format.h>
#include <span>
#include <string_view>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxSiblings = 1024; ///< files that are looked at
constexpr std::size_t kMaxParts = 256;     ///< each has a descriptor

bool have_same_bytes(const SavedFile& one, const SavedFile& other, std::uint64_t offset, std::uint64_t size) {
  std::vector<std::byte> left(65536);
  std::vector<std::byte> right(left.size());
  for (std::uint64_t done = 0; done < size; done += left.size()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left.size(), size - done));
    const auto first = std::span{left}.first(count);
    const auto second = std::span{right}.first(count);
    if (one.read(offset + done, first) != count || other.read(offset + done, second) != count ||
        !std::ranges::equal(first, second)) {
      return false;
    }
  }
  return true;
}

bool is_of_same_dump(const SavedFile& file, const KdumpFacts& facts, const SavedFile& other,
                     const KdumpFacts& its) {
  // Version 6 has no time, if it was made of an ELF core: notes and bitmaps must do.
  const bool same = its.is_part && its.of_32_bit == facts.of_32_bit && its.version == facts.version &&
                    its.block_size == facts.block_size && its.frames == facts.frames &&
                    its.bitmaps == facts.bitmaps && its.bitmap_bytes == facts.bitmap_bytes &&
                    its.uname == facts.uname && its.notes_offset == facts.notes_offset &&
                    its.notes_size == facts.notes_size;
  constexpr std::uint64_t kMaxCompared = std::uint64_t{16} << 20U;
  return same && have_same_bytes(file, other, facts.notes_offset, std::min(facts.notes_size, kMaxCompared)) &&
         have_same_bytes(file, other, facts.bitmaps, facts.bitmap_bytes);
}

bool is_plain_kdump(const SavedFile& file) {
  const auto magic = file.read_as<std::array<char, 8>>(0);
  return magic && std::string_view{magic->data(), magic->size()} == "KDUMP   ";
}

void insert(std::vector<KdumpPages::Part>& parts, KdumpPages::Part part) {
  const auto next = std::ranges::upper_bound(parts, part.begin, {}, &KdumpPages::Part::begin);
  const bool overlaps = (next != parts.end() && next->begin < part.end) ||
                        (next != parts.begin() && std::prev(next)->end > part.begin);
  if (!overlaps && part.begin < part.end) {
    parts.insert(next, std::move(part));
  }
}

std::string missing_text(const std::vector<KdumpPages::Part>& parts, const KdumpFacts& facts) {
  std::uint64_t covered = 0;
  for (const auto& part : parts) {
    if (part.begin != covered) {
      break;
    }
    covered = part.end;
  }
  return covered >= facts.frames
             ? std::string{}
             : fmt::format(
                   "it is a part of a split kdump file, and the part with the pages from {:#x} on is not "
                   "in its directory; they are read as bad pages",
                   covered * facts.block_size);
}

} // namespace

KdumpParts find_kdump_parts(const SavedFile& file, const KdumpFacts& facts) {
  KdumpParts result;
  insert(result.parts, {facts.begin, facts.end, facts.descriptors(), {}});
  for (const std::string& name : file.siblings(kMaxSiblings)) {
    auto other = file.sibling(name);
    if (!other || !is_plain_kdump(*other)) {
      continue;
    }
    const auto bytes = KdumpFile::open(*other);
    const auto its = bytes ? read_kdump_facts(*other, *bytes) : tl::unexpected{bytes.error()};
    if (its && result.parts.size() < kMaxParts && is_of_same_dump(file, facts, *other, *its)) {
      insert(result.parts, {its->begin, its->end, its->descriptors(), std::move(*other)});
    }
  }
  result.problem = missing_text(result.parts, facts);
  return result;
}

} // namespace vmemfs
