// SPDX-License-Identifier: MIT
#include "image/packed/page_packer.h"

#include <new>
#include <zlib.h>

namespace vmemfs {
namespace {

// For pages of 4 KiB. A larger window or more memory finds nothing more in a page, but is cleared for each:
// with zlib's defaults a page takes longer.
constexpr int kWindowBits = 13;
constexpr int kMemoryLevel = 6;

} // namespace

struct PagePacker::State {
  z_stream stream{};
};

PagePacker::PagePacker() : state_{std::make_unique<State>()} {
  if (::deflateInit2(&state_->stream, Z_BEST_SPEED, Z_DEFLATED, kWindowBits, kMemoryLevel,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc{};
  }
}

PagePacker::~PagePacker() { ::deflateEnd(&state_->stream); }

std::size_t PagePacker::pack(std::span<const std::byte> page, std::span<std::byte> packed) {
  z_stream& stream = state_->stream;
  ::deflateReset(&stream);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(page.data())); // zlib only reads it
  stream.avail_in = static_cast<uInt>(page.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  return ::deflate(&stream, Z_FINISH) == Z_STREAM_END ? static_cast<std::size_t>(stream.total_out) : 0;
}

} // namespace vmemfs
