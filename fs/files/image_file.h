// SPDX-License-Identifier: MIT
// Guest memory as an image, made while it is read: `mem.lime` and `core`.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "util/mutex.h"
#include "vm/views/image.h"
#include "vm/views/image_view.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace vmemfs {

/// The layout is that of the moment of opening. The bytes that are not the guest's are made by the first read
/// that has some of them, because opening must wait for nobody. Takes no writes.
class ImageFile final : public GuestMemoryFile {
public:
  ImageFile(std::shared_ptr<Guest> guest, const ImageFormat& format);

private:
  tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                             ReadScratch& scratch) override;
  tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset, MemoryUse wanted) override {
    return view_.seek(offset, wanted);
  }
  std::uint64_t size() override { return view_.layout().size(); }

  [[nodiscard]] std::span<const std::byte> made() EXCLUDES(mutex_);

  const Image image_;
  const ImageView view_;
  ReadAhead read_ahead_;
  Mutex mutex_;                                    ///< held while the bytes are made
  std::vector<std::byte> made_ GUARDED_BY(mutex_); ///< once there are some, they do not change any more
};

} // namespace vmemfs
