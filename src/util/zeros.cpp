// SPDX-License-Identifier: MIT
#include "util/zeros.h"

#include "util/unique_fd.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::size_t kSize = (std::size_t{1} << 20U) + 4096;
/// Fits a CPU's cache; a multiple of the page size.
constexpr std::size_t kWindow = std::size_t{64} << 10U;

/// One small file, mapped repeatedly, side by side. The kernel finds its pages at once, while each
/// unwritten page of anonymous memory costs a lookup. Empty if the mapping fails.
std::span<const std::byte> repeated_file() {
  const UniqueFd file{::memfd_create("vmemfs-zeros", MFD_CLOEXEC)};
  if (!file || ::ftruncate(file.get(), kWindow) != 0) {
    return {};
  }
  void* const place = ::mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) {
    return {};
  }
  auto* const begin = static_cast<std::byte*>(place);
  for (std::size_t at = 0; at < kSize; at += kWindow) {
    if (::mmap(begin + at, std::min(kWindow, kSize - at), PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
               file.get(), 0) == MAP_FAILED) {
      ::munmap(place, kSize);
      return {};
    }
  }
  return {begin, kSize}; // mapped until the process ends
}

std::span<const std::byte> unwritten_memory() {
  // Not const: a constant array would be stored in the program file, this one is in .bss.
  alignas(4096) static std::byte area[kSize];
  return area;
}

} // namespace

std::span<const std::byte> zeros() {
  static const std::span<const std::byte> kZeros = [] {
    const auto repeated = repeated_file();
    return repeated.empty() ? unwritten_memory() : repeated;
  }();
  return kZeros;
}

bool is_zero(std::span<const std::byte> bytes) {
  return bytes.empty() || std::memcmp(bytes.data(), zeros().data(), bytes.size()) == 0;
}

} // namespace vmemfs
