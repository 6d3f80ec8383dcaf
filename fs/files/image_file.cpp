// SPDX-License-Identifier: MIT
#include "fs/files/image_file.h"

#include <utility>

namespace vmemfs {

ImageFile::ImageFile(std::shared_ptr<Guest> guest, const ImageFormat& format)
    : GuestMemoryFile{std::move(guest)}, format_{format}, opened_in_{this->guest().page_cache_epoch()},
      image_{format.lay_out(this->guest())}, view_{memory(), image_.layout}, made_{made_before()},
      settled_{made_ != nullptr || format.always_settled} {}

MadeImages::Bytes ImageFile::made_before() {
  MadeImages* const images = guest().made_images();
  auto bytes = opened_in_ && images != nullptr ? images->find(format_, *opened_in_) : nullptr;
  return bytes != nullptr && bytes->size() == image_.layout.made_bytes() ? bytes : nullptr;
}

std::optional<std::uint64_t> ImageFile::page_cache_epoch() {
  const auto now = settled_ ? guest().page_cache_epoch() : std::nullopt;
  return now == opened_in_ ? now : std::nullopt;
}

tl::expected<std::size_t, ErrorKind> ImageFile::fetch(std::uint64_t offset, std::size_t size,
                                                      ReadScratch& scratch) {
  const bool has_made = view_.has_made(offset, size);
  return view_.read(offset, size, has_made ? made() : std::span<const std::byte>{}, scratch, read_ahead_);
}

std::span<const std::byte> ImageFile::made() {
  const MutexLock lock{mutex_};
  if (made_ == nullptr) {
    ImageBytes made = image_.make(guest());
    made.bytes.resize(image_.layout.made_bytes());
    made_ = std::make_shared<const std::vector<std::byte>>(std::move(made.bytes));
    if (made.settled && opened_in_ && guest().made_images() != nullptr &&
        guest().page_cache_epoch() == opened_in_) {
      guest().made_images()->keep(format_, *opened_in_, made_);
    }
  }
  return *made_;
}

} // namespace vmemfs
