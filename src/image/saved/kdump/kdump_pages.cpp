// SPDX-License-Identifier: MIT
#include "image/saved/kdump/kdump_pages.h"

#include "image/saved/kdump/kdump_headers.h"
#include "image/saved/page_codec.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace vmemfs {

tl::expected<std::size_t, ErrorKind> KdumpPages::read(const SavedFile& file, Gpa gpa,
                                                      std::span<std::byte> to) const {
  std::vector<std::byte> page(static_cast<std::size_t>(block_size_));
  std::size_t done = 0;
  while (done < to.size()) {
    const std::uint64_t here = gpa.value() + done;
    if (const auto failure = read_page(file, here / block_size_, page)) {
      return done > 0 ? tl::expected<std::size_t, ErrorKind>{done} : tl::unexpected{*failure};
    }
    const auto begin = static_cast<std::size_t>(here % block_size_);
    const std::size_t count = std::min(to.size() - done, page.size() - begin);
    std::memcpy(to.data() + done, page.data() + begin, count);
    done += count;
  }
  return done;
}

const KdumpPages::Part* KdumpPages::part_of(std::uint64_t frame) const {
  const auto next = std::ranges::upper_bound(parts_, frame, {}, &Part::begin);
  return next != parts_.begin() && frame < std::prev(next)->end ? &*std::prev(next) : nullptr;
}

std::size_t KdumpPages::read_bytes(const SavedFile& file, const Part& part, std::uint64_t offset,
                                   std::span<std::byte> to) const {
  return part.file ? part.file->read(offset, to) : bytes_.read(file, offset, to);
}

std::optional<ErrorKind> KdumpPages::read_page(const SavedFile& file, std::uint64_t frame,
                                               std::span<std::byte> page) const {
  const Part* const part = part_of(frame);
  if (part == nullptr || !stored_.test(frame)) {
    return ErrorKind::bad_page; // left out, or missing as all after it, or of a part that is not there
  }
  KdumpPageDescriptor descriptor{};
  const std::uint64_t index = stored_.count_before(frame) - stored_.count_before(part->begin);
  const auto descriptor_bytes = std::as_writable_bytes(std::span{&descriptor, 1});
  if (read_bytes(file, *part, part->descriptors + index * sizeof descriptor, descriptor_bytes) !=
          sizeof descriptor ||
      descriptor.offset >= size_of(*part)) {
    return ErrorKind::bad_page;
  }
  if (descriptor.size > page.size()) {
    return ErrorKind::source_failed;
  }
  std::vector<std::byte> packed(descriptor.size);
  if (read_bytes(file, *part, descriptor.offset, packed) != packed.size()) {
    return ErrorKind::bad_page;
  }
  return unpack_page(PageCodec{descriptor.flags}, packed, page) ? std::nullopt
                                                                : std::optional{ErrorKind::source_failed};
}

bool KdumpPages::are_cut(const SavedFile& file) const {
  constexpr std::uint64_t kChecked = 256; // the very last ones may all share a page of zeros
  return bytes_.cut() || std::ranges::any_of(parts_, [&](const Part& part) {
           const std::uint64_t pages = stored_.count_before(part.end) - stored_.count_before(part.begin);
           for (std::uint64_t i = pages - std::min(pages, kChecked); i < pages; ++i) {
             KdumpPageDescriptor last{};
             const auto bytes = std::as_writable_bytes(std::span{&last, 1});
             if (read_bytes(file, part, part.descriptors + i * sizeof last, bytes) != sizeof last ||
                 last.offset >= size_of(part) || last.size > size_of(part) - last.offset) {
               return true;
             }
           }
           return false;
         });
}

} // namespace vmemfs
