// SPDX-License-Identifier: MIT
// Reader of compressed AVML images, for tests: written from the texts of the formats (AVML's src/image.rs,
// snappy's framing_format.txt), and independent of the reader of the driver `dump`.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <snappy-c.h>
#include <stdexcept>
#include <string>
#include <vector>

namespace vmemfs::test {

struct AvmlBlock {
  std::uint64_t begin = 0; ///< guest physical address
  std::string memory;
};

/// CRC-32C as RFC 3720 defines it, by one table of bytes.
inline std::uint32_t plain_crc32c(const std::string& bytes) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
      std::uint32_t crc = byte;
      for (int bit = 0; bit < 8; ++bit) {
        crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82f63b78U : crc >> 1U;
      }
      table[byte] = crc;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffffU;
  const std::uint32_t* const table = kTable.data();
  for (const char byte : bytes) {
    crc = table[(crc ^ static_cast<unsigned char>(byte)) & 0xffU] ^ crc >> 8U;
  }
  return ~crc;
}

/// Throws std::runtime_error if a byte is not as the formats say.
class AvmlFile {
public:
  explicit AvmlFile(std::string bytes) : bytes_{std::move(bytes)} {
    while (at_ < bytes_.size()) {
      read_block();
    }
  }

  [[nodiscard]] const std::vector<AvmlBlock>& blocks() const { return blocks_; }
  /// Chunks of the snappy streams that are not compressed.
  [[nodiscard]] std::size_t plain_chunks() const { return plain_chunks_; }

private:
  static void expect(bool holds, const char* what) {
    if (!holds) {
      throw std::runtime_error{what};
    }
  }

  std::string take(std::uint64_t size) {
    expect(size <= bytes_.size() - at_, "the image is cut off");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

  std::uint64_t number(std::size_t size) { // little-endian
    const std::string text = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) {
      value = value << 8U | static_cast<unsigned char>(text[i]);
    }
    return value;
  }

  void read_block() {
    expect(take(4) == "AVML", "no magic");
    expect(number(4) == 2, "not version 2");
    AvmlBlock block;
    block.begin = number(8);
    const std::uint64_t size = number(8) + 1 - block.begin; // the end is inclusive
    expect(number(8) == 0, "reserved bytes are not zero");
    const std::uint64_t stream = at_;
    expect(take(10) == std::string{"\xff\x06\0\0sNaPpY", 10}, "no stream identifier");
    while (block.memory.size() < size) {
      block.memory += chunk();
    }
    expect(block.memory.size() == size, "more bytes than the header has");
    const std::uint64_t stream_bytes = at_ - stream;
    expect(number(8) == stream_bytes, "the length behind the stream is wrong");
    blocks_.push_back(std::move(block));
  }

  std::string chunk() {
    const std::uint64_t type = number(1);
    expect(type == 0 || type == 1, "not a chunk of data");
    const std::uint64_t length = number(3);
    const std::uint64_t checksum = number(4);
    std::string plain = take(length - 4);
    if (type == 0) {
      plain = unpacked(plain);
    } else {
      ++plain_chunks_;
    }
    expect(plain.size() <= 65536, "a chunk has more than 64 KiB");
    const std::uint32_t crc = plain_crc32c(plain);
    expect(static_cast<std::uint32_t>((crc >> 15U | crc << 17U) + 0xa282ead8U) == checksum, "wrong checksum");
    return plain;
  }

  static std::string unpacked(const std::string& packed) {
    std::size_t size = 0;
    expect(::snappy_uncompressed_length(packed.data(), packed.size(), &size) == SNAPPY_OK && size <= 65536,
           "not snappy");
    std::string plain(size, '\0');
    expect(::snappy_uncompress(packed.data(), packed.size(), plain.data(), &size) == SNAPPY_OK, "not snappy");
    return plain;
  }

  std::string bytes_;
  std::uint64_t at_ = 0;
  std::size_t plain_chunks_ = 0;
  std::vector<AvmlBlock> blocks_;
};

} // namespace vmemfs::test
