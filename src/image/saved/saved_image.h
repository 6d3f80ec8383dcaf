// SPDX-License-Identifier: MIT
// Saved memory as every format describes it: ranges of guest physical addresses, and registers.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "image/saved/saved_file.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Absent is not zero: the format says that there is memory, but the file does not have its bytes.
enum class ExtentKind : unsigned char { stored, zero, absent, packed };

struct Extent {
  GpaRange range;
  ExtentKind kind = ExtentKind::stored;
  std::uint64_t offset = 0; ///< stored: in the file, or SavedImage::memory; else only for show

  friend bool operator==(const Extent&, const Extent&) = default;
};

/// Memory of packed extents: its place in the file is not that of its address.
class ImageDecoder {
public:
  virtual ~ImageDecoder() = default;
  /// Reads from an address in a packed extent, at least one byte and not beyond the extent; returns the
  /// number of bytes. Thread-safe; what it allocates has a fixed bound.
  [[nodiscard]] virtual tl::expected<std::size_t, ErrorKind> read(const SavedFile& file, Gpa gpa,
                                                                  std::span<std::byte> to) const = 0;

  struct Cost {
    std::chrono::nanoseconds read; ///< whatever its size
    std::chrono::nanoseconds page; ///< of each 4 KiB in it
  };
  [[nodiscard]] virtual Cost cost() const = 0; ///< as measured on a usual machine; zero: nothing is unpacked
};

struct SavedImage {
  std::string description;                 ///< such as "ELF core of QEMU"
  std::vector<Extent> extents;             ///< sorted, not empty, without overlaps
  std::vector<RegisterSet> registers{};    ///< one for each vCPU, all of one layout; empty: none in the file
  std::string registers_from{};            ///< such as "notes of QEMU"
  std::string release{};                   ///< of its Linux kernel, if notes say so; not trusted
  std::optional<Gpa> first_missing{};      ///< the file was cut: lowest address that it should have had
  std::string problem{};                   ///< other damage, as a sentence; empty: none
  std::unique_ptr<ImageDecoder> decoder{}; ///< set if an extent is packed
  std::optional<SavedFile> memory{};       ///< what stored extents are in, if not in the file itself
};

class SavedFormat {
public:
  virtual ~SavedFormat() = default;
  [[nodiscard]] virtual std::string_view name() const = 0; ///< as in `format=`
  /// By the first bytes of a file (kImageHead of them, or all).
  [[nodiscard]] virtual bool matches(std::span<const std::byte> head) const = 0;
  /// By the path of a file whose content says nothing, as it is nothing but memory.
  [[nodiscard]] virtual bool takes_name(std::string_view /*path*/) const { return false; }
  /// Nothing in the file is trusted: what is read and allocated is bounded by the file's size and by
  /// constants. The error does not name the file.
  [[nodiscard]] virtual Result<SavedImage> open(const SavedFile& file) const = 0;
};

inline constexpr std::size_t kImageHead = 64;

} // namespace vmemfs
