// SPDX-License-Identifier: MIT
#include "image/saved/page_codec.h"

#include <algorithm>
#include <libdeflate.h>
#include <lzo/lzo1x.h>
#include <memory>
#include <snappy-c.h>
#include <zstd.h>

namespace vmemfs {
namespace {

using Decompressor = std::unique_ptr<libdeflate_decompressor, decltype(&::libdeflate_free_decompressor)>;

bool unpack_zlib(std::span<const std::byte> packed, std::span<std::byte> page) {
  // Some 10 KiB, which a page should not allocate; used by one call at a time.
  thread_local const Decompressor kDecompressor{::libdeflate_alloc_decompressor(),
                                                &::libdeflate_free_decompressor};
  // Without a place for the size, a page of another one is refused.
  return kDecompressor != nullptr &&
         ::libdeflate_zlib_decompress(kDecompressor.get(), packed.data(), packed.size(), page.data(),
                                      page.size(), nullptr) == LIBDEFLATE_SUCCESS;
}

bool unpack_lzo(std::span<const std::byte> packed, std::span<std::byte> page) {
  lzo_uint size = page.size();
  return ::lzo1x_decompress_safe(reinterpret_cast<const unsigned char*>(packed.data()), packed.size(),
                                 reinterpret_cast<unsigned char*>(page.data()), &size, nullptr) == LZO_E_OK &&
         size == page.size();
}

bool unpack_snappy(std::span<const std::byte> packed, std::span<std::byte> page) {
  const auto* const bytes = reinterpret_cast<const char*>(packed.data());
  std::size_t size = 0;
  return ::snappy_uncompressed_length(bytes, packed.size(), &size) == SNAPPY_OK && size == page.size() &&
         ::snappy_uncompress(bytes, packed.size(), reinterpret_cast<char*>(page.data()), &size) ==
             SNAPPY_OK &&
         size == page.size();
}

bool unpack_zstd(std::span<const std::byte> packed, std::span<std::byte> page) {
  return ::ZSTD_decompress(page.data(), page.size(), packed.data(), packed.size()) == page.size();
}

} // namespace

bool unpack_page(PageCodec codec, std::span<const std::byte> packed, std::span<std::byte> page) {
  switch (codec) {
  case PageCodec::plain:
    if (packed.size() != page.size()) {
      return false;
    }
    std::ranges::copy(packed, page.begin());
    return true;
  case PageCodec::zlib: return unpack_zlib(packed, page);
  case PageCodec::lzo: return unpack_lzo(packed, page);
  case PageCodec::snappy: return unpack_snappy(packed, page);
  case PageCodec::zstd: return unpack_zstd(packed, page);
  }
  return false;
}

} // namespace vmemfs
