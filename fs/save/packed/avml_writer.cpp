// SPDX-License-Identifier: MIT
#include "fs/save/packed/avml_writer.h"

#include "image/saved/range_header.h"

#include <algorithm>

namespace vmemfs {
namespace {

constexpr std::uint32_t kMagic = 0x4c4d5641;
constexpr std::uint32_t kVersion = 2;

class AvmlChunkPacker final : public ChunkPacker {
public:
  explicit AvmlChunkPacker(const SnappyPacker& packer) : packer_{packer} {}

  std::size_t pack(std::span<const std::byte> memory, std::span<std::byte> packed) override {
    return packer_.pack(memory, packed);
  }

private:
  const SnappyPacker& packer_;
};

/// The block that has the chunk.
GpaRange block_of(const MemoryChunk& chunk) {
  const std::uint64_t before = (chunk.begin - chunk.range.begin) / AvmlWriter::kBlock * AvmlWriter::kBlock;
  const Gpa begin = chunk.range.begin + before;
  return {begin, std::min(begin + AvmlWriter::kBlock, chunk.range.end)};
}

template <typename T> std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span{&value, 1});
}

} // namespace

std::unique_ptr<ChunkPacker> AvmlWriter::make_packer() const {
  return std::make_unique<AvmlChunkPacker>(packer_);
}

Result<void> AvmlWriter::write(const MemoryChunk& chunk, std::span<const std::byte> packed) {
  const GpaRange block = block_of(chunk);
  Result<void> done{};
  if (chunk.begin == block.begin) {
    const RangeHeader header{kMagic, kVersion, block.begin.value(), block.end.value() - 1, 0};
    done =
        output_.write(bytes_of(header)).and_then([&] { return output_.write(bytes_of(kSnappyStreamBegin)); });
    block_bytes_ = kSnappyStreamBegin.size();
  }
  done = done.and_then([&] { return output_.write(packed); });
  block_bytes_ += packed.size();
  if (chunk.begin + chunk.size == block.end) {
    done = done.and_then([&] { return output_.write(bytes_of(block_bytes_)); });
  }
  return done;
}

Result<WrittenImage> AvmlWriter::end(const std::stop_token& /*stop*/) {
  return output_.sha256().map([this](std::string sha256) {
    return WrittenImage{output_.bytes(), std::move(sha256)};
  });
}

} // namespace vmemfs
