// SPDX-License-Identifier: MIT
// Reader of kdump files, for tests: written from makedumpfile's IMPLEMENTATION and diskdump_mod.h, and
// independent of the reader of the driver `dump`.
#pragma once

#include <cstdint>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>
#include <zlib.h>

namespace vmemfs::test {

/// Of a flattened file: the file that it stands for. Throws std::runtime_error if it is not one.
inline std::string unflattened(const std::string& bytes) {
  const auto number = [&](std::size_t at) {
    std::uint64_t value = 0;
    for (const char byte : bytes.substr(at, 8)) {
      value = value << 8U | static_cast<unsigned char>(byte);
    }
    return value;
  };
  if (!bytes.starts_with(std::string{"makedumpfile\0\0\0\0", 16}) || number(16) != 1 || number(24) != 1) {
    throw std::runtime_error{"no header of a flattened file"};
  }
  std::string file;
  for (std::size_t at = 4096;;) {
    const std::uint64_t offset = number(at);
    const std::uint64_t size = number(at + 8);
    at += 16;
    if (offset == ~0ULL && size == ~0ULL && at == bytes.size()) {
      return file;
    }
    if (offset > 1ULL << 40U || size == 0 || size > bytes.size() - at) {
      throw std::runtime_error{"a bad record of a flattened file"};
    }
    file.resize(std::max<std::size_t>(file.size(), offset + size));
    file.replace(offset, size, bytes, at, size);
    at += size;
  }
}

class TestKdumpFile {
public:
  static constexpr std::size_t kBlock = 4096;

  explicit TestKdumpFile(std::string bytes) : bytes_{std::move(bytes)} {}

  [[nodiscard]] std::string bytes(std::uint64_t at, std::uint64_t size) const {
    return bytes_.substr(at, size);
  }
  [[nodiscard]] std::string text(std::uint64_t at) const { return bytes_.substr(at).c_str(); }
  [[nodiscard]] std::uint32_t word(std::uint64_t at) const { return value<std::uint32_t>(at); }
  [[nodiscard]] std::uint64_t quad(std::uint64_t at) const { return value<std::uint64_t>(at); }
  /// Of the second header.
  [[nodiscard]] std::uint64_t sub(std::uint64_t at) const { return quad(kBlock + at); }

  [[nodiscard]] std::uint64_t bitmaps() const { return (1 + std::uint64_t{word(432)}) * kBlock; }
  [[nodiscard]] std::uint64_t bitmap_bytes() const { return std::uint64_t{word(436)} * kBlock / 2; }
  [[nodiscard]] bool stored(std::uint64_t frame, int bitmap) const {
    const std::uint64_t at = bitmaps() + static_cast<std::uint64_t>(bitmap - 1) * bitmap_bytes() + frame / 8;
    return (static_cast<unsigned char>(bytes_.at(at)) >> (frame % 8) & 1U) != 0;
  }

  /// The page with this descriptor, counted from 0.
  [[nodiscard]] std::string page(std::uint64_t index) {
    const std::uint64_t at = bitmaps() + 2 * bitmap_bytes() + index * 24;
    const std::string packed = bytes_.substr(quad(at), word(at + 8));
    offsets_.insert(quad(at));
    flags_.insert(word(at + 12));
    if (word(at + 12) == 0) {
      return packed;
    }
    std::string plain(kBlock, '?');
    uLongf size = plain.size();
    if (word(at + 12) != 1 ||
        ::uncompress(reinterpret_cast<Bytef*>(plain.data()), &size,
                     reinterpret_cast<const Bytef*>(packed.data()), packed.size()) != Z_OK) {
      throw std::runtime_error{"not a page of zlib"};
    }
    plain.resize(size);
    return plain;
  }

  /// Of the pages that were read.
  [[nodiscard]] const std::set<std::uint64_t>& offsets() const { return offsets_; }
  [[nodiscard]] const std::set<std::uint32_t>& flags() const { return flags_; }

private:
  template <typename T> T value(std::uint64_t at) const {
    T result{};
    std::memcpy(&result, bytes_.substr(at, sizeof result).data(), sizeof result);
    return result;
  }

  std::string bytes_;
  std::set<std::uint64_t> offsets_;
  std::set<std::uint32_t> flags_;
};

} // namespace vmemfs::test
