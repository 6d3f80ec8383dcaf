// SPDX-License-Identifier: MIT
#include "fs/save/packed/kdump_writer.h"

#include "image/packed/page_packer.h"
#include "image/saved/page_codec.h"
#include "util/zeros.h"

#include <algorithm>
#include <cstring>

namespace vmemfs {
namespace {

/// A packed chunk begins with the descriptors of its pages. Their offsets count from the first byte behind
/// them; a page of zeros has size 0.
class KdumpChunkPacker final : public ChunkPacker {
public:
  std::size_t pack(std::span<const std::byte> memory, std::span<std::byte> packed) override {
    const std::size_t pages = memory.size() / kPageSize;
    const auto data = packed.subspan(pages * sizeof(KdumpPageDescriptor));
    std::size_t data_bytes = 0;
    for (std::size_t page = 0; page < pages; ++page) {
      const auto bytes = memory.subspan(page * kPageSize, kPageSize);
      KdumpPageDescriptor descriptor{};
      if (!is_zero(bytes)) {
        descriptor = pack_page(bytes, data.subspan(data_bytes));
        descriptor.offset = data_bytes;
        data_bytes += descriptor.size;
      }
      std::memcpy(packed.data() + page * sizeof descriptor, &descriptor, sizeof descriptor);
    }
    return pages * sizeof(KdumpPageDescriptor) + data_bytes;
  }

private:
  [[nodiscard]] KdumpPageDescriptor pack_page(std::span<const std::byte> page, std::span<std::byte> target) {
    const std::size_t size = packer_.pack(page, target.first(kPageSize - 1));
    if (size > 0) {
      return {.offset = 0,
              .size = static_cast<std::uint32_t>(size),
              .flags = static_cast<std::uint32_t>(PageCodec::zlib),
              .page_flags = 0};
    }
    std::ranges::copy(page, target.begin());
    return {.offset = 0,
            .size = kPageSize,
            .flags = static_cast<std::uint32_t>(PageCodec::plain),
            .page_flags = 0};
  }

  PagePacker packer_;
};

} // namespace

std::unique_ptr<ChunkPacker> KdumpWriter::make_packer() const { return std::make_unique<KdumpChunkPacker>(); }

std::size_t KdumpWriter::max_packed_bytes() const { return sizeof descriptors_ + kMemoryChunk; }

Result<void> KdumpWriter::begin() {
  return target_->begin()
      .and_then([&] { return target_->put(0, layout_.headers()); })
      .and_then([&] { return put_bitmaps(); })
      .and_then([&] { return put_page_of_zeros(); });
}

Result<void> KdumpWriter::put_bitmaps() {
  constexpr std::uint64_t kPart = std::uint64_t{64} << 10U;
  std::vector<std::byte> part(kPart);
  const std::uint64_t size = layout_.bitmap_bytes();
  for (const std::uint64_t begin : {layout_.bitmaps(), layout_.bitmaps() + size}) {
    for (std::uint64_t at = 0; at < size; at += kPart) {
      const auto bytes = std::span{part}.first(static_cast<std::size_t>(std::min(kPart, size - at)));
      layout_.fill_bitmap(at, bytes);
      if (auto done = target_->put(begin + at, bytes); !done) {
        return done;
      }
    }
  }
  return {};
}

Result<void> KdumpWriter::put_page_of_zeros() {
  std::array<std::byte, kPageSize> packed{};
  const std::size_t size = PagePacker{}.pack(zeros().first(kPageSize), packed);
  zeros_ = {.offset = layout_.data(),
            .size = static_cast<std::uint32_t>(size),
            .flags = static_cast<std::uint32_t>(PageCodec::zlib),
            .page_flags = 0};
  data_end_ = layout_.data() + size;
  return target_->put(layout_.data(), std::span{packed}.first(size));
}

Result<void> KdumpWriter::write(const MemoryChunk& chunk, std::span<const std::byte> packed) {
  const auto descriptors = std::span{descriptors_}.first(chunk.size / kPageSize);
  std::memcpy(descriptors.data(), packed.data(), descriptors.size_bytes());
  for (KdumpPageDescriptor& descriptor : descriptors) {
    if (descriptor.size == 0) {
      descriptor = zeros_;
    } else {
      descriptor.offset += data_end_;
    }
  }
  const std::uint64_t place = layout_.descriptors() + next_page_ * sizeof(KdumpPageDescriptor);
  auto done = target_->put(place, std::as_bytes(descriptors));
  next_page_ += descriptors.size();
  if (const auto data = packed.subspan(descriptors.size_bytes()); !data.empty()) {
    done = done.and_then([&] { return target_->put(data_end_, data); });
    data_end_ += data.size();
  }
  return done;
}

Result<WrittenImage> KdumpWriter::end(const std::stop_token& stop) { return target_->end(data_end_, stop); }

} // namespace vmemfs
