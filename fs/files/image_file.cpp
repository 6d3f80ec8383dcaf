// SPDX-License-Identifier: MIT
#include "fs/files/image_file.h"

#include <utility>

namespace vmemfs {

ImageFile::ImageFile(std::shared_ptr<Guest> guest, const ImageFormat& format)
    : GuestMemoryFile{std::move(guest)}, image_{format.lay_out(this->guest())},
      view_{memory(), image_.layout} {}

tl::expected<std::size_t, ErrorKind> ImageFile::fetch(std::uint64_t offset, std::size_t size,
                                                      ReadScratch& scratch) {
  const bool has_made = view_.has_made(offset, size);
  return view_.read(offset, size, has_made ? made() : std::span<const std::byte>{}, scratch, read_ahead_);
}

std::span<const std::byte> ImageFile::made() {
  const MutexLock lock{mutex_};
  if (made_.empty()) {
    made_ = image_.make(guest());
    made_.resize(image_.layout.made_bytes());
  }
  return made_;
}

} // namespace vmemfs
