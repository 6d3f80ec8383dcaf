// SPDX-License-Identifier: MIT
// Pages that each library packs itself; tests/e2e/images has those that makedumpfile packs.
#include "image/saved/page_codec.h"

#include <gtest/gtest.h>
#include <lzo/lzo1x.h>
#include <snappy-c.h>
#include <span>
#include <string>
#include <vector>
#include <zlib.h>
#include <zstd.h>

namespace vmemfs::test {
namespace {

constexpr std::size_t kPage = 4096;

std::string page() {
  std::string text;
  while (text.size() < kPage) {
    text += "page " + std::to_string(text.size());
  }
  text.resize(kPage);
  return text;
}

std::string pack_zlib(const std::string& plain) {
  std::string packed(::compressBound(plain.size()), '\0');
  uLongf size = packed.size();
  EXPECT_EQ(::compress(reinterpret_cast<Bytef*>(packed.data()), &size,
                       reinterpret_cast<const Bytef*>(plain.data()), plain.size()),
            Z_OK);
  packed.resize(size);
  return packed;
}

std::string pack_lzo(const std::string& plain) {
  std::string packed(plain.size() + plain.size() / 16 + 67, '\0');
  std::vector<std::byte> work(LZO1X_1_MEM_COMPRESS);
  lzo_uint size = packed.size();
  EXPECT_EQ(::lzo1x_1_compress(reinterpret_cast<const unsigned char*>(plain.data()), plain.size(),
                               reinterpret_cast<unsigned char*>(packed.data()), &size, work.data()),
            LZO_E_OK);
  packed.resize(size);
  return packed;
}

std::string pack_snappy(const std::string& plain) {
  std::string packed(::snappy_max_compressed_length(plain.size()), '\0');
  std::size_t size = packed.size();
  EXPECT_EQ(::snappy_compress(plain.data(), plain.size(), packed.data(), &size), SNAPPY_OK);
  packed.resize(size);
  return packed;
}

std::string pack_zstd(const std::string& plain) {
  std::string packed(::ZSTD_compressBound(plain.size()), '\0');
  packed.resize(::ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
  return packed;
}

std::string pack_plain(const std::string& plain) { return plain; }

struct Codec {
  const char* name;
  PageCodec codec;
  std::string (*pack)(const std::string&);
};

class EachCodec : public testing::TestWithParam<Codec> {
protected:
  static bool unpack(const std::string& packed, std::string& page) {
    return unpack_page(GetParam().codec, std::as_bytes(std::span{packed}),
                       std::as_writable_bytes(std::span{page}));
  }
};

TEST_P(EachCodec, Page_IsUnpacked) {
  std::string result(kPage, '\0');
  EXPECT_TRUE(unpack(GetParam().pack(page()), result));
  EXPECT_EQ(result, page());
}

TEST_P(EachCodec, NotExactlyAPage_IsRefused) {
  for (const std::size_t size : {kPage - 1, kPage + 1, std::size_t{0}, 8 * kPage}) {
    std::string result(kPage + 64, 'g'); // guards behind the page
    const std::string packed = GetParam().pack(std::string(size, 'x'));
    EXPECT_FALSE(unpack_page(GetParam().codec, std::as_bytes(std::span{packed}),
                             std::as_writable_bytes(std::span{result}).first(kPage)))
        << size;
    EXPECT_EQ(result.substr(kPage), std::string(64, 'g')) << size;
  }
}

TEST_P(EachCodec, CutAnywhere_IsRefused) {
  const std::string packed = GetParam().pack(page());
  for (std::size_t size = 0; size < packed.size(); ++size) {
    std::string result(kPage, '\0');
    EXPECT_FALSE(unpack(packed.substr(0, size), result)) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Kdump, EachCodec,
                         testing::Values(Codec{"plain", PageCodec::plain, pack_plain},
                                         Codec{"zlib", PageCodec::zlib, pack_zlib},
                                         Codec{"lzo", PageCodec::lzo, pack_lzo},
                                         Codec{"snappy", PageCodec::snappy, pack_snappy},
                                         Codec{"zstd", PageCodec::zstd, pack_zstd}),
                         [](const auto& codec) { return std::string{codec.param.name}; });

TEST(PageCodec, Unknown_IsRefused) {
  const std::string packed = page();
  std::string result(kPage, '\0');
  EXPECT_FALSE(
      unpack_page(PageCodec{3}, std::as_bytes(std::span{packed}), std::as_writable_bytes(std::span{result})));
}

} // namespace
} // namespace vmemfs::test
