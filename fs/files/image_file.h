// SPDX-License-Identifier: MIT
// Guest memory as an image, made while it is read: `mem.lime` and `core`.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "util/mutex.h"
#include "vm/views/image.h"
#include "vm/views/image_view.h"
#include "vm/views/made_images.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace vmemfs {

/// The layout is that of the moment of opening. The bytes that are not the guest's are made by the first read
/// that has some of them, because opening must wait for nobody. Takes no writes.
class ImageFile final : public GuestMemoryFile {
public:
  ImageFile(std::shared_ptr<Guest> guest, const ImageFormat& format);

  /// Of the epoch in which the file was opened, and of no other one. None for a file whose bytes may differ
  /// from those of another one that is opened in the same epoch.
  [[nodiscard]] std::optional<std::uint64_t> page_cache_epoch() override;
  [[nodiscard]] std::uint64_t page_layout() const override { return opened_in_.value_or(0); }

private:
  tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                             ReadScratch& scratch) override;
  tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset, MemoryUse wanted) override {
    return view_.seek(offset, wanted);
  }
  std::uint64_t size() override { return view_.layout().size(); }
  bool needs_whole_pages() const override { return false; } ///< what is not memory is read too

  [[nodiscard]] MadeImages::Bytes made_before();
  [[nodiscard]] std::span<const std::byte> made() EXCLUDES(mutex_);

  const ImageFormat& format_;
  const std::optional<std::uint64_t> opened_in_; ///< before the layout was made
  const Image image_;
  const ImageView view_;
  ReadAhead read_ahead_;
  Mutex mutex_;                               ///< held while the bytes are made
  MadeImages::Bytes made_ GUARDED_BY(mutex_); ///< null: not yet; then they do not change any more
  const bool settled_;                        ///< as of ImageBytes, when the file was opened
};

} // namespace vmemfs
