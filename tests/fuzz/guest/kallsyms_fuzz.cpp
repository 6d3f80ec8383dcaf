// SPDX-License-Identifier: MIT
// A kernel's image that may have kallsyms tables. The input is the image, or what differs from one with
// tables: its first byte says which, and the rest is laid over it from the place on that the next three bytes
// say.
#include "fuzz/fuzz_target.h"
#include "linux/image_memory.h"
#include "linux/kallsyms_builder.h"
#include "linux/symbols/kallsyms.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using vmemfs::test::KallsymsBuilder;
using vmemfs::test::KallsymsLayout;

constexpr unsigned kLayouts = 5;

const std::vector<std::byte>& made(unsigned layout) {
  static const auto kMade = [] {
    std::vector<std::vector<std::byte>> images;
    for (unsigned i = 0; i < kLayouts; ++i) {
      const auto one = static_cast<KallsymsLayout>(i);
      auto symbols = vmemfs::test::many_symbols(one <= KallsymsLayout::v6_12);
      symbols.pop_back(); // has a name that is too long for the first layout
      images.push_back(KallsymsBuilder{one, std::move(symbols)}.bytes());
    }
    return images;
  }();
  return kMade[layout];
}

std::vector<std::byte> image_of(std::string_view text) {
  constexpr std::size_t kHead = 4;
  const auto bytes = std::as_bytes(std::span{text});
  if (text.size() < kHead || static_cast<unsigned char>(text[0]) >= kLayouts) {
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::byte> image = made(static_cast<unsigned char>(text[0]));
  const std::size_t place =
      (std::to_integer<std::size_t>(bytes[1]) | std::to_integer<std::size_t>(bytes[2]) << 8U |
       std::to_integer<std::size_t>(bytes[3]) << 16U) %
      image.size();
  const std::size_t size = std::min(bytes.size() - kHead, image.size() - place);
  std::copy_n(bytes.begin() + kHead, size, image.begin() + static_cast<std::ptrdiff_t>(place));
  return image;
}

} // namespace

FUZZ_TARGET(text) {
  auto image = image_of(text);
  const vmemfs::KernelImageRange range{KallsymsBuilder::kImage, KallsymsBuilder::kImage + image.size()};
  vmemfs::test::ImageMemory memory{range.begin, std::move(image)};
  if (const auto symbols = vmemfs::read_kallsyms(memory, range)) {
    std::uint64_t last = 0;
    for (const vmemfs::KernelSymbol& symbol : (*symbols)->all()) {
      vmemfs::fuzz::expect(symbol.absolute() || symbol.address >= last, "addresses rise");
      vmemfs::fuzz::expect(!symbol.name.empty(), "each symbol has a name");
      last = symbol.absolute() ? last : symbol.address;
    }
  }
}
