// SPDX-License-Identifier: MIT
#include "image/saved/vmware/vmware_tags.h"

#include "image/saved/range_header.h"

#include <algorithm>
#include <cstring>

namespace vmemfs {
namespace {

/// With blocks whose sizes have 64 bits: of a whole, a partial, a restored and a not to be restored state.
constexpr std::uint32_t kWideMagics[] = {0xbed2bed2, 0xbed3bed3, 0xbad1bad1, 0xbad2bad2};
/// With 32 bits, of old versions: one as crash knows it, one as Volatility does.
constexpr std::uint32_t kNarrowMagics[] = {0xbed0bed0, 0xbed2bed0};

struct Header {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t groups;
};
static_assert(sizeof(Header) == 12);

struct Group {
  std::array<char, 64> name;
  std::uint64_t offset;
  std::uint64_t size; ///< other readers do not use it, so nothing says that it is right
};
static_assert(sizeof(Group) == 80);

/// No file has more; a sum with any offset in a file does not overflow.
constexpr std::uint64_t kMaxBlock = std::uint64_t{1} << 52;

/// Bounds the time if a file has its tags far from each other: 32 MiB in all.
constexpr std::size_t kMaxReads = std::size_t{1} << 13;

constexpr unsigned kIndexShift = 6;
constexpr unsigned kSizeMask = 0x3f;
constexpr unsigned kBlock = 0x3f;
constexpr unsigned kPackedBlock = 0x3e;

std::string_view name_of(const Group& group) {
  const std::string_view all{group.name.data(), group.name.size()};
  return all.substr(0, all.find('\0'));
}

} // namespace

bool is_vmware_state(std::span<const std::byte> head) {
  const auto begins = [&](std::uint32_t magic) { return begins_with_magic(head, magic); };
  return std::ranges::any_of(kWideMagics, begins) || std::ranges::any_of(kNarrowMagics, begins);
}

std::optional<VmwareTags> VmwareTags::find(const SavedFile& file, std::string_view group) {
  const auto header = file.read_as<Header>(0);
  const std::uint32_t count = header ? std::min(header->groups, kMaxGroups) : 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto candidate = file.read_as<Group>(sizeof(Header) + std::uint64_t{i} * sizeof(Group));
    if (!candidate) {
      break;
    }
    if (name_of(*candidate) == group) {
      const bool wide = std::ranges::find(kWideMagics, header->magic) != std::end(kWideMagics);
      return VmwareTags{file, candidate->offset, wide};
    }
  }
  return std::nullopt;
}

std::optional<VmwareTag> VmwareTags::next() {
  VmwareTag tag;
  return !ended_ && read_tag(tag) ? std::optional{std::move(tag)} : std::nullopt;
}

bool VmwareTags::read_tag(VmwareTag& tag) {
  std::array<std::uint8_t, 2> head{};
  if (!take(head)) {
    return false;
  }
  const auto [flags, name_size] = head;
  if (flags == 0 && name_size == 0) {
    return end({});
  }
  if (++tags_ > kMaxTags) {
    return end("has more tags than there can be");
  }
  tag.name.resize(name_size);
  tag.indices.resize(flags >> kIndexShift);
  if (!take(std::as_writable_bytes(std::span{tag.name})) ||
      !take(std::as_writable_bytes(std::span{tag.indices}))) {
    return false;
  }
  tag.size = flags & kSizeMask;
  if (tag.size == kBlock || tag.size == kPackedBlock) {
    tag.kind = tag.size == kBlock ? VmwareTag::Kind::block : VmwareTag::Kind::packed_block;
    return read_block(tag);
  }
  std::array<std::byte, kSizeMask> value{};
  if (!take(std::span{value}.first(static_cast<std::size_t>(tag.size)))) {
    return false;
  }
  std::memcpy(&tag.number, value.data(), sizeof tag.number); // shorter ones have zeros behind them
  return true;
}

bool VmwareTags::read_block(VmwareTag& tag) {
  std::uint64_t in_memory = 0;
  if (wide_) {
    if (!take(tag.size) || !take(in_memory)) {
      return false;
    }
  } else {
    std::array<std::uint32_t, 2> sizes{};
    if (!take(sizes)) {
      return false;
    }
    tag.size = sizes[0];
  }
  std::uint16_t padding = 0;
  if (!take(padding)) {
    return false;
  }
  if (tag.size >= kMaxBlock) {
    return end("has a block that is larger than any file");
  }
  tag.offset = at_ + padding;
  at_ = tag.offset + tag.size;
  return true;
}

bool VmwareTags::take(std::span<std::byte> to) {
  // The begin may be beyond the place: a block's size sends it forward only, but a group can begin anywhere.
  const bool has = at_ >= buffer_begin_ && at_ - buffer_begin_ <= buffer_size_ &&
                   to.size() <= buffer_size_ - static_cast<std::size_t>(at_ - buffer_begin_);
  if (!has) {
    if (++reads_ > kMaxReads) {
      return end("has more tags than there can be");
    }
    buffer_begin_ = at_;
    buffer_size_ = file_->read(at_, buffer_);
    if (buffer_size_ < to.size()) {
      return end("is cut off within its tags");
    }
  }
  std::ranges::copy(std::span{buffer_}.subspan(static_cast<std::size_t>(at_ - buffer_begin_), to.size()),
                    to.begin());
  at_ += to.size();
  return true;
}

bool VmwareTags::end(std::string_view problem) {
  ended_ = true;
  problem_ = problem;
  return false;
}

} // namespace vmemfs
