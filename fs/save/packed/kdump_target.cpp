// SPDX-License-Identifier: MIT
#include "fs/save/packed/kdump_target.h"

#include "image/saved/kdump/kdump_headers.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::size_t kPart = std::size_t{1} << 20U;

std::uint64_t big_endian(std::uint64_t value) { return __builtin_bswap64(value); }

std::span<const std::byte> bytes_of(const FlattenedRecord& record) {
  return std::as_bytes(std::span{&record, 1});
}

} // namespace

Result<WrittenImage> KdumpFileTarget::end(std::uint64_t size, const std::stop_token& stop) {
  if (auto sized = output_.set_size(size); !sized) {
    return tl::unexpected{std::move(sized.error())};
  }
  auto hash = Sha256::create();
  std::vector<std::byte> part(kPart);
  for (std::uint64_t offset = 0; hash && offset < size; offset += part.size()) {
    if (stop.stop_requested()) {
      return fail(ErrorKind::interrupted, "save", "stopped");
    }
    const auto bytes =
        std::span{part}.first(static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), size - offset)));
    if (auto done = output_.read(offset, bytes).and_then([&] { return hash->add(bytes); }); !done) {
      return tl::unexpected{std::move(done.error())};
    }
  }
  return hash.and_then([](Sha256& done) { return done.finish(); }).map([&](std::string sha256) {
    return WrittenImage{size, std::move(sha256)};
  });
}

Result<void> FlattenedTarget::begin() {
  constexpr std::uint64_t kType = 1;
  constexpr std::uint64_t kVersion = 1;
  const std::array<std::uint64_t, 2> numbers{big_endian(kType), big_endian(kVersion)};
  std::vector<std::byte> header(kFlattenedHeaderBytes);
  std::memcpy(header.data(), kFlattenedSignature.data(), kFlattenedSignature.size());
  std::memcpy(header.data() + kFlattenedSignature.size(), numbers.data(), sizeof numbers);
  return output_.write(header);
}

Result<void> FlattenedTarget::put(std::uint64_t offset, std::span<const std::byte> bytes) {
  const FlattenedRecord record{big_endian(offset), big_endian(bytes.size())};
  return output_.write(bytes_of(record)).and_then([&] { return output_.write(bytes); });
}

Result<WrittenImage> FlattenedTarget::end(std::uint64_t /*size*/, const std::stop_token& /*stop*/) {
  constexpr FlattenedRecord kEnd{~std::uint64_t{0}, ~std::uint64_t{0}};
  return output_.write(bytes_of(kEnd))
      .and_then([&] { return output_.sha256(); })
      .map([&](std::string sha256) {
        return WrittenImage{output_.bytes(), std::move(sha256)};
      });
}

} // namespace vmemfs
