// SPDX-License-Identifier: MIT
#include "linux/symbols/address_table.h"

#include "linux/symbols/kernel_symbols.h"

#include <algorithm>

namespace vmemfs::kallsyms {
namespace {

constexpr std::uint64_t kWord = sizeof(std::uint32_t);
constexpr std::uint64_t kLong = sizeof(std::uint64_t);
constexpr std::uint64_t kPage = 4096;

using Addresses = std::vector<std::uint64_t>;

constexpr std::uint64_t align(std::uint64_t value, std::uint64_t to) { return (value + to - 1) & ~(to - 1); }

/// Whether addresses are those of the image's symbols: they rise, and most lie in it. Absolute ones, which
/// are low numbers, come first or last.
bool plausible(const Addresses& addresses, KernelImageRange image) {
  std::size_t inside = 0;
  std::uint64_t last = 0;
  for (const std::uint64_t address : addresses) {
    if (address < KernelSymbol::kKernelHalf) {
      continue;
    }
    if (address < last) {
      return false;
    }
    last = address;
    inside += address >= image.begin && address < image.end ? 1U : 0U;
  }
  return inside > addresses.size() / 2;
}

/// Signed 32-bit numbers.
std::optional<std::vector<std::int32_t>> offsets_at(const Window& window, std::uint64_t address,
                                                    std::size_t count) {
  if (window.bytes(address, count * kWord).empty()) {
    return std::nullopt;
  }
  std::vector<std::int32_t> offsets(count);
  for (std::size_t i = 0; i < count; ++i) {
    offsets[i] = static_cast<std::int32_t>(window.number<std::uint32_t>(address + i * kWord).value_or(0));
  }
  return offsets;
}

/// Offsets from one base. If most are negative, those that are not are absolute.
std::optional<Addresses> with_base(const Window& window, KernelImageRange image,
                                   std::uint64_t offsets_address, std::uint64_t base_address,
                                   std::size_t count) {
  const auto base = window.number<std::uint64_t>(base_address);
  const auto offsets = offsets_at(window, offsets_address, count);
  if (!base || !offsets || *base % kPage != 0 || *base < KernelSymbol::kKernelHalf) {
    return std::nullopt;
  }
  const auto negative = std::ranges::count_if(*offsets, [](std::int32_t offset) { return offset < 0; });
  const bool has_absolute = static_cast<std::size_t>(negative) > count / 2;
  Addresses addresses(count);
  std::ranges::transform(*offsets, addresses.begin(), [&](std::int32_t offset) -> std::uint64_t {
    if (!has_absolute) {
      return *base + static_cast<std::uint32_t>(offset);
    }
    return offset >= 0 ? static_cast<std::uint64_t>(offset)
                       : *base - 1 - static_cast<std::uint64_t>(static_cast<std::int64_t>(offset));
  });
  return plausible(addresses, image) ? std::optional{std::move(addresses)} : std::nullopt;
}

/// Offsets each from its own place.
std::optional<Addresses> from_place(const Window& window, KernelImageRange image,
                                    std::uint64_t offsets_address, std::size_t count) {
  const auto offsets = offsets_at(window, offsets_address, count);
  if (!offsets) {
    return std::nullopt;
  }
  Addresses addresses(count);
  for (std::size_t i = 0; i < count; ++i) {
    addresses[i] =
        offsets_address + i * kWord + static_cast<std::uint64_t>(static_cast<std::int64_t>((*offsets)[i]));
  }
  return plausible(addresses, image) ? std::optional{std::move(addresses)} : std::nullopt;
}

} // namespace

std::optional<std::vector<std::uint64_t>> find_addresses(const Window& window, KernelImageRange image,
                                                         std::uint64_t count_address, std::uint64_t index_end,
                                                         std::size_t count) {
  const std::uint64_t bytes = count * kWord;
  const std::uint64_t behind = align(index_end, kLong);
  if (auto found = with_base(window, image, behind, align(behind + bytes, kLong), count)) {
    return found; // 6.4 to 6.19
  }
  const std::uint64_t before = count_address - kLong;
  if (auto found = with_base(window, image, before - align(bytes, kLong), before, count)) {
    return found; // 4.6 to 6.3
  }
  return from_place(window, image, align(index_end, kWord), count); // since 7.0
}

} // namespace vmemfs::kallsyms
