// SPDX-License-Identifier: MIT
// The first header of a 64-bit Windows crash dump. Numbers are little-endian; what is not set is filled with
// "PAGE".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace vmemfs {

/// Pages that follow one another, in memory and in the file.
struct PageRun {
  std::uint64_t first; ///< number of the page
  std::uint64_t count;
};
static_assert(sizeof(PageRun) == 16);

struct CrashHeader {
  static constexpr std::size_t kDirectoryTableBase = 0x10;
  static constexpr std::size_t kMachine = 0x30;
  static constexpr std::size_t kRunCount = 0x88;
  static constexpr std::size_t kRuns = 0x98;
  static constexpr std::size_t kMaxRuns = 43; ///< more do not fit before kContext
  static constexpr std::size_t kContext = 0x348;
  static constexpr std::size_t kDumpType = 0xf98;

  std::array<std::byte, 0x2000> bytes;

  /// The field must lie within the header.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] T field(std::size_t offset) const {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
  }
};
static_assert(CrashHeader::kRuns + CrashHeader::kMaxRuns * sizeof(PageRun) <= CrashHeader::kContext);

} // namespace vmemfs
