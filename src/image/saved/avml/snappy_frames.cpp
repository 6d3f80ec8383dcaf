// SPDX-License-Identifier: MIT
#include "image/saved/avml/snappy_frames.h"

#include "image/saved/avml/snappy_format.h"
#include "image/saved/page_codec.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <iterator>
#include <snappy-c.h>

namespace vmemfs {
namespace {

constexpr std::uint32_t kMaxStored = 76490; ///< snappy's own limit for 64 KiB
constexpr std::size_t kMaxPreamble = 5;

} // namespace

std::optional<SnappyFrames::Chunk> SnappyFrames::chunk_at(const SavedFile& file, std::uint64_t offset,
                                                          std::uint32_t header) {
  const std::uint32_t length = header >> 8U;
  if (length <= kSnappyChecksumBytes || length > kMaxStored + kSnappyChecksumBytes || offset > file.size() ||
      length > file.size() - offset) {
    return std::nullopt;
  }
  Chunk chunk{
      .offset = offset, .stored = length - kSnappyChecksumBytes, .packed = (header & 0xffU) == kSnappyPacked};
  std::size_t plain = chunk.stored;
  if (chunk.packed) {
    std::array<std::byte, kMaxPreamble> preamble{};
    const std::size_t count =
        file.read(offset + kSnappyChecksumBytes,
                  std::span{preamble}.first(std::min<std::size_t>(kMaxPreamble, chunk.stored)));
    if (::snappy_uncompressed_length(reinterpret_cast<const char*>(preamble.data()), count, &plain) !=
        SNAPPY_OK) {
      return std::nullopt;
    }
  }
  if (plain == 0 || plain > kMaxSnappyPlain) {
    return std::nullopt;
  }
  chunk.plain = static_cast<std::uint32_t>(plain);
  return chunk;
}

std::optional<SnappyFrames::Stream> SnappyFrames::add(const SavedFile& file, std::uint64_t offset,
                                                      const GpaRange& range) {
  Stream stream{.end = offset};
  while (stream.size < range.size()) {
    const auto header = file.read_as<std::uint32_t>(stream.end);
    if (!header) {
      break;
    }
    const std::uint64_t content = stream.end + kSnappyHeaderBytes;
    const std::uint64_t length = *header >> 8U;
    const std::uint32_t type = *header & 0xffU;
    if (type >= kSnappyFirstToSkip && content <= file.size() && length <= file.size() - content) {
      if (++skipped_ > kMaxSkipped) {
        return std::nullopt;
      }
      stream.end = content + length;
      continue;
    }
    auto chunk =
        type == kSnappyPacked || type == kSnappyPlain ? chunk_at(file, content, *header) : std::nullopt;
    const std::uint64_t left = range.size() - stream.size;
    if (!chunk || chunk->plain > left || (chunk->plain < left && chunk->plain < kMinPlain)) {
      break;
    }
    if (chunks_.size() == kMaxChunks) {
      return std::nullopt;
    }
    chunk->begin = range.begin.value() + stream.size;
    chunks_.push_back(*chunk);
    stream.end = content + length;
    stream.size += chunk->plain;
  }
  return stream;
}

tl::expected<std::size_t, ErrorKind> SnappyFrames::read(const SavedFile& file, Gpa gpa,
                                                        std::span<std::byte> to) const {
  std::size_t done = 0;
  while (done < to.size()) {
    const std::uint64_t here = gpa.value() + done;
    const auto next = std::ranges::upper_bound(chunks_, here, {}, &Chunk::begin);
    if (next == chunks_.begin() || here - std::prev(next)->begin >= std::prev(next)->plain) {
      return done > 0 ? tl::expected<std::size_t, ErrorKind>{done} : tl::unexpected{ErrorKind::bad_page};
    }
    const Chunk& chunk = *std::prev(next);
    const auto plain = plain_of(file, chunk);
    if (plain.empty()) {
      return done > 0 ? tl::expected<std::size_t, ErrorKind>{done} : tl::unexpected{ErrorKind::source_failed};
    }
    const auto part = plain.subspan(static_cast<std::size_t>(here - chunk.begin));
    const std::size_t count = std::min(part.size(), to.size() - done);
    std::memcpy(to.data() + done, part.data(), count);
    done += count;
  }
  return done;
}

/// Reads of one page after the other, as the page cache makes them, unpack a chunk once.
std::span<const std::byte> SnappyFrames::plain_of(const SavedFile& file, const Chunk& chunk) const {
  struct Unpacked {
    std::uint64_t id = 0;
    std::uint64_t offset = 0;
    std::vector<std::byte> plain;
  };
  thread_local Unpacked last;
  if (last.id != id_ || last.offset != chunk.offset) {
    last.id = 0;
    last.plain.resize(chunk.plain);
    if (!unpack(file, chunk, last.plain)) {
      return {};
    }
    last.id = id_;
    last.offset = chunk.offset;
  }
  return last.plain;
}

std::uint64_t SnappyFrames::next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

bool SnappyFrames::unpack(const SavedFile& file, const Chunk& chunk, std::span<std::byte> plain) {
  std::vector<std::byte> content(kSnappyChecksumBytes + chunk.stored);
  if (file.read(chunk.offset, content) != content.size()) {
    return false;
  }
  std::uint32_t checksum = 0;
  std::memcpy(&checksum, content.data(), sizeof checksum);
  const auto stored = std::span{content}.subspan(kSnappyChecksumBytes);
  if (!unpack_page(chunk.packed ? PageCodec::snappy : PageCodec::plain, stored, plain)) {
    return false;
  }
  return snappy_checksum(plain) == checksum;
}

} // namespace vmemfs
