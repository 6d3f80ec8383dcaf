// SPDX-License-Identifier: MIT
// Construction of a Windows crash dump from the description of its format; no Windows wrote it.
#pragma once

#include "image_bytes.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {

inline constexpr std::size_t kCrashHeader = 0x2000;
inline constexpr std::size_t kCrashPage = 0x1000;

using Runs = std::vector<std::pair<std::uint64_t, std::uint64_t>>; ///< first page and count

/// What is not set is filled with "PAGE", as Windows does.
inline std::string crash_header(std::uint32_t type, const Runs& runs) {
  std::string header;
  while (header.size() < kCrashHeader) {
    header += "PAGE";
  }
  header.replace(4, 4, "DU64");
  header = with(header, 0x10, 0x1ad002, 8); // DirectoryTableBase
  header = with(header, 0x30, 0x8664, 4);   // machine
  header = with(header, 0x34, 2, 4);        // CPUs
  header = with(header, 0xf98, type, 4);
  if (!runs.empty()) {
    header = with(header, 0x88, runs.size(), 4);
    std::size_t at = 0x98;
    for (const auto& [first, count] : runs) {
      header.replace(at, 16, number(first, 8) + number(count, 8));
      at += 16;
    }
  }
  header.replace(0x348, 0x4d0, std::string(0x4d0, '\0'));
  header = with(header, 0x348 + 0x30, 0x10001f, 4);
  header = with(header, 0x348 + 0x38, 0x10, 2);
  header = with(header, 0x348 + 0x78, 0x1234, 8);
  header = with(header, 0x348 + 0x98, 0xfffff80000001000, 8);
  return with(header, 0x348 + 0xf8, 0xfffff80312345678, 8);
}

/// A page for each letter.
inline std::string pages(std::string_view letters) {
  std::string bytes;
  for (const char letter : letters) {
    bytes += std::string(kCrashPage, letter);
  }
  return bytes;
}

/// Type 1: pages 1, 2 and 0x100.
inline std::string complete_dump() { return crash_header(1, {{1, 2}, {0x100, 1}}) + pages("abc"); }

/// Types 2, 5, 6: pages 1, 3 and 8 of a bitmap with 9.
inline std::string bitmap_dump(std::uint32_t type, const Runs& runs,
                               std::string_view signature = "SDMPDUMP") {
  std::string bytes = crash_header(type, runs) + std::string{signature} + std::string(24, '\0') +
                      number(0x3000, 8) + number(3, 8) + number(9, 8) + "\x0a\x01";
  bytes.resize(0x3000, '\0');
  return bytes + pages("abc");
}

/// The header of types 8 to 10, up to the first page.
inline std::string new_header(std::uint64_t runs, std::uint64_t all, std::string table) {
  table.resize(0x1000 - 0x30, '\0');
  return number(0x40, 4) + "RDMPDUMP" + number(0, 4) + number(0x3000 - 0x2020, 8) + number(0x3000, 8) +
         number(runs, 8) + number(all, 8) + table;
}

} // namespace vmemfs::test
