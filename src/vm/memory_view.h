// A guest's physical address space as a file: offsets are guest physical addresses.
//
// This is where it is decided what a reader gets at holes and bad pages (design: "the memory files").
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "vm/bad_pages.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <sys/uio.h>
#include <vector>

namespace vmemfs {

enum class HolePolicy : unsigned char {
  honest, ///< a hole or bad page ends a read, and is an error where a read starts
  padded, ///< holes and bad pages read as zeros
};

/// What one read needs and the next one reuses, so that a read allocates nothing. For one thread at a time.
class ReadScratch {
public:
  ReadScratch();

  /// The bytes of the last read, in order. Valid until the next read with this scratch or release().
  [[nodiscard]] std::span<const iovec> data() const { return data_; }

  /// Lets borrowed memory go; call it once the bytes are delivered.
  void release() { pins_.clear(); }

private:
  friend class MemoryView;
  void clear();

  std::unique_ptr<std::byte[]> staging_;
  std::size_t staged_ = 0;
  std::vector<iovec> data_;
  std::vector<ReadPiece> pieces_;
  std::vector<MemoryPin> pins_;
};

/// Thread-safe; each read brings its own scratch. References must outlive the view.
class MemoryView {
public:
  MemoryView(Driver& driver, BadPages& bad_pages) : driver_{driver}, bad_pages_{bad_pages} {}

  /// The longest read; longer ones are cut.
  static constexpr std::size_t kMaxRead = std::size_t{1} << 20U;

  /// Bytes at [offset, offset + size), in scratch.data(). Fewer than asked for where the space ends
  /// or, in honest mode, where a hole begins; none past the end. Never a byte that was not read from
  /// the guest or is not a documented zero.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          HolePolicy policy, ReadScratch& scratch);

  [[nodiscard]] std::uint64_t size() const { return driver_.memory_map()->ram_end().value(); }

  /// lseek's SEEK_DATA and SEEK_HOLE. past_end as lseek's ENXIO.
  [[nodiscard]] tl::expected<std::uint64_t, ErrorKind> seek_data(std::uint64_t offset) const;
  [[nodiscard]] tl::expected<std::uint64_t, ErrorKind> seek_hole(std::uint64_t offset) const;

private:
  struct Attempt {
    std::size_t bytes = 0;
    std::optional<ErrorKind> failure{}; ///< what ended the read early
    bool outside = false;               ///< some of it lies where the map has nothing
  };
  Attempt attempt(const MemoryMap& map, GpaRange range, HolePolicy policy, ReadScratch& scratch);
  Attempt plan(const MemoryMap& map, GpaRange range, HolePolicy policy, ReadScratch& scratch);
  void read_past_bad_pages(ReadPiece& piece);

  Driver& driver_;
  BadPages& bad_pages_;
};

} // namespace vmemfs
