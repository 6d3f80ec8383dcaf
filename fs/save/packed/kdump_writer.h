// SPDX-License-Identifier: MIT
// Writer of kdump-compressed files, with zlib: the one that makedumpfile, crash and drgn of Debian 12 all
// read. All pages of zeros share one. Format: see kdump_layout.h.
#pragma once

#include "fs/save/packed/image_writer.h"
#include "fs/save/packed/kdump_target.h"
#include "image/packed/kdump_layout.h"
#include "image/saved/kdump/kdump_headers.h"

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace vmemfs {

class KdumpWriter final : public ImageWriter {
public:
  static constexpr std::size_t kPages = kMemoryChunk / kPageSize; ///< of a chunk

  /// The ranges of the layout are those of the chunks.
  KdumpWriter(KdumpLayout layout, std::unique_ptr<KdumpTarget> target)
      : layout_{std::move(layout)}, target_{std::move(target)} {}

  [[nodiscard]] std::unique_ptr<ChunkPacker> make_packer() const override;
  [[nodiscard]] std::size_t max_packed_bytes() const override;
  [[nodiscard]] Result<void> begin() override;
  [[nodiscard]] Result<void> write(const MemoryChunk& chunk, std::span<const std::byte> packed) override;
  [[nodiscard]] Result<WrittenImage> end(const std::stop_token& stop) override;

private:
  [[nodiscard]] Result<void> put_bitmaps();
  [[nodiscard]] Result<void> put_page_of_zeros();

  KdumpLayout layout_;
  std::unique_ptr<KdumpTarget> target_;
  KdumpPageDescriptor zeros_{};                           ///< of all pages of zeros
  std::uint64_t next_page_ = 0;                           ///< among the stored ones
  std::uint64_t data_end_ = 0;                            ///< offset of what is written next
  std::array<KdumpPageDescriptor, kPages> descriptors_{}; ///< of a chunk, while it is written
};

} // namespace vmemfs
