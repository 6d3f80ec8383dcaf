// SPDX-License-Identifier: MIT
// Pages as kdump files pack them: makedumpfile's IMPLEMENTATION and diskdump_mod.h, "page_desc_t".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

/// Flags of a page's descriptor: how it is packed.
enum class PageCodec : std::uint32_t { plain = 0, zlib = 1, lzo = 2, snappy = 4, zstd = 0x20 };

/// Unpacks one page; false: the bytes are damaged, do not give exactly the page, or the codec is not known.
/// Thread-safe. Nothing is written outside the page, whatever the bytes are.
[[nodiscard]] bool unpack_page(PageCodec codec, std::span<const std::byte> packed, std::span<std::byte> page);

} // namespace vmemfs
