// SPDX-License-Identifier: MIT
// Writer of compressed AVML images, version 2.
//
// Format: AVML's src/image.rs. Memory is cut into blocks; for each there is a header with its addresses, a
// stream of snappy's framing format, and the number of bytes of the stream. Blocks have 16 MiB as those of
// AVML, because readers unpack a block at once. AVML leaves out blocks of zeros; here they are written, so
// that they are not taken for holes.
#pragma once

#include "fs/save/packed/hashed_stream.h"
#include "fs/save/packed/image_writer.h"
#include "image/packed/snappy_packer.h"

#include <cstdint>
#include <utility>

namespace vmemfs {

class AvmlWriter final : public ImageWriter {
public:
  static constexpr std::uint64_t kBlock = std::uint64_t{16} << 20U;
  static_assert(kBlock % kMemoryChunk == 0);

  /// To a file, from its begin, or a stream.
  explicit AvmlWriter(HashedStream output) : output_{std::move(output)} {}

  [[nodiscard]] std::unique_ptr<ChunkPacker> make_packer() const override;
  [[nodiscard]] std::size_t max_packed_bytes() const override {
    return SnappyPacker::max_bytes(kMemoryChunk);
  }
  [[nodiscard]] Result<void> begin() override { return {}; }
  [[nodiscard]] Result<void> write(const MemoryChunk& chunk, std::span<const std::byte> packed) override;
  [[nodiscard]] Result<WrittenImage> end(const std::stop_token& stop) override;

private:
  SnappyPacker packer_;
  HashedStream output_;
  std::uint64_t block_bytes_ = 0; ///< of the block's stream
};

} // namespace vmemfs
