// SPDX-License-Identifier: MIT
#include "image/saved/kdump/kdump_facts.h"

#include "image/saved/kdump/kdump_headers.h"

#include <bit>
#include <cstddef>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint32_t kMinBlock = 4096;
constexpr std::uint32_t kMaxBlock = 65536;

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

template <typename Header> bool is_usable(const std::optional<Header>& header) {
  return header && header->version >= 0 && header->version <= 6 && std::has_single_bit(header->block_size) &&
         header->block_size >= kMinBlock && header->block_size <= kMaxBlock;
}

/// What another machine's header has at the place of these two are numbers of blocks, or zeros.
template <typename Header> bool is_likely(const std::optional<Header>& header) {
  return is_usable(header) && header->sub_header_blocks > 0 && header->bitmap_blocks > 0;
}

template <typename Header> KdumpFacts facts_of(const Header& header) {
  KdumpFacts facts;
  facts.version = header.version;
  facts.block_size = header.block_size;
  facts.frames = header.max_frame;
  facts.bitmaps = (1 + static_cast<std::uint64_t>(header.sub_header_blocks)) * facts.block_size;
  facts.bitmap_bytes = header.bitmap_blocks * facts.block_size;
  facts.uname = header.uname;
  return facts;
}

/// Fields that a version does not have yet are ignored.
template <typename SubHeader> void add_facts(KdumpFacts& facts, const SubHeader& sub) {
  if (facts.version >= 2 && sub.split != 0) {
    facts.is_part = true;
    facts.begin = facts.version >= 6 ? sub.start_frame_64 : sub.start_frame;
    facts.end = facts.version >= 6 ? sub.end_frame_64 : sub.end_frame;
  }
  if (facts.version >= 4) {
    facts.notes_offset = sub.notes_offset;
    facts.notes_size = sub.notes_size;
  }
  if (facts.version >= 6) {
    facts.frames = sub.max_frame_64;
  }
}

bool notes_are_within(const KdumpSubHeader32& sub, const KdumpFile& bytes, std::uint64_t block_size) {
  return sub.notes_offset >= block_size && sub.notes_offset < bytes.size() &&
         sub.notes_size <= bytes.size() - sub.notes_offset;
}

Result<KdumpFacts> facts_of_32_bit(const SavedFile& file, const KdumpFile& bytes,
                                   const KdumpHeader32& header) {
  KdumpFacts facts = facts_of(header);
  facts.of_32_bit = true;
  const auto packed = bytes.read_as<KdumpSubHeader32>(file, facts.block_size);
  const auto aligned = bytes.read_as<KdumpSubHeader32Aligned>(file, facts.block_size);
  if (!packed) {
    return damaged("the kdump file is cut off within its second header");
  }
  // Only the place of the notes tells the two apart; before version 4 both begin alike.
  if (facts.version < 4 || !aligned || notes_are_within(*packed, bytes, facts.block_size)) {
    add_facts(facts, *packed);
  } else {
    add_facts(facts, *aligned);
  }
  return facts;
}

Result<KdumpFacts> facts_of_64_bit(const SavedFile& file, const KdumpFile& bytes, const KdumpHeader& header) {
  KdumpFacts facts = facts_of(header);
  const auto sub = bytes.read_as<KdumpSubHeader>(file, facts.block_size);
  if (!sub) {
    return damaged("the kdump file is cut off within its second header");
  }
  add_facts(facts, *sub);
  return facts;
}

Result<KdumpFacts> checked(Result<KdumpFacts> facts) {
  if (facts && (facts->frames > kMaxKdumpFrames || facts->frames > facts->bitmap_bytes * 8)) {
    return damaged(fmt::format("the kdump file has {} pages, which is more than its bitmaps or than {}",
                               facts->frames, kMaxKdumpFrames));
  }
  if (facts && facts->is_part && (facts->begin > facts->end || facts->end > facts->frames)) {
    return damaged(
        fmt::format("it is a part of a split kdump file, of pages {} to {} of {}; the file is damaged",
                    facts->begin, facts->end, facts->frames));
  }
  return facts;
}

} // namespace

std::string KdumpFacts::machine() const {
  const std::string_view name{uname[kKdumpMachine].data(), uname[kKdumpMachine].size()};
  return std::string{name.substr(0, name.find('\0'))};
}

Result<KdumpFacts> read_kdump_facts(const SavedFile& file, const KdumpFile& bytes) {
  const auto header = bytes.read_as<KdumpHeader>(file, 0);
  const auto header_32 = bytes.read_as<KdumpHeader32>(file, 0);
  // A flattened file may have no bytes behind the shorter header.
  if (is_likely(header_32) && !is_likely(header)) {
    return checked(facts_of_32_bit(file, bytes, *header_32));
  }
  if (!header) {
    return damaged("the kdump file is cut off within its header");
  }
  if (!is_usable(header)) {
    return fail(
        ErrorKind::unsupported, "dump",
        "the header of the kdump file is not one of a little-endian machine, version 0 to 6; no other is "
        "supported");
  }
  if (header->sub_header_blocks < 0) {
    return damaged("the kdump file has a header of negative size");
  }
  return checked(facts_of_64_bit(file, bytes, *header));
}

} // namespace vmemfs
