// SPDX-License-Identifier: MIT
// The interface of a guest's physical memory, as files read and write it: offsets are guest physical
// addresses.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"
#include "core/memory_use.h"
#include "vm/memory/hole_policy.h"
#include "vm/memory/read_scratch.h"
#include "vm/prefetch/read_ahead.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vmemfs {

class BlockMemory;

/// Thread-safe; each read brings its own scratch.
class AddressSpace {
public:
  AddressSpace() = default;
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  virtual ~AddressSpace() = default;

  /// Max size of a read; longer ones are truncated.
  static constexpr std::size_t kMaxRead = ReadScratch::kStaging;

  /// Reads the ranges, one behind the other, of at most kMaxRead bytes together, into scratch.data(). Returns
  /// fewer bytes than requested if the space ends or, unless padded, at a hole; none past the end. Without
  /// any range it checks that the guest still exists. `read_ahead` is the open file's, and may be null.
  [[nodiscard]] virtual tl::expected<std::size_t, ErrorKind>
  read(std::span<const GpaRange> ranges, HolePolicy policy, ReadScratch& scratch, ReadAhead* read_ahead) = 0;
  /// The same for [offset, offset + size).
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          HolePolicy policy, ReadScratch& scratch,
                                                          ReadAhead* read_ahead);
  /// Copies memory into buffers of the caller, as it is now: each piece with its own result, see
  /// Driver::read(). For what is examined here, as the bytes of read() may only be passed on.
  virtual void copy(std::span<ReadPiece> pieces);
  /// Reads scattered pieces in one exchange with the source, each with its own result: that of an honest
  /// read() of the piece alone, past_end if the space ends before the piece does. Bytes of a buffer beyond
  /// `done` are undefined. Fails as a whole only if the guest does not exist any more.
  [[nodiscard]] virtual tl::expected<void, ErrorKind> read_each(std::span<ReadPiece> pieces);

  /// Its blocks as their backends have them; null: only what the map shows of them can be read.
  [[nodiscard]] virtual BlockMemory* blocks() { return nullptr; }

  /// Writes memory, if that is allowed and the whole range is writable; else nothing is written. Returns the
  /// number of bytes written, from the start: fewer than all if the source failed midway.
  [[nodiscard]] virtual Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  /// The memory map as last known; never null.
  [[nodiscard]] virtual std::shared_ptr<const MemoryMap> map() const = 0;
  /// Adopts a changed memory map if that is cheap. Call it before reporting size or shape.
  virtual void poll_layout() = 0;

  /// See Driver::find(); the range lies in one region of main memory.
  [[nodiscard]] virtual UseSearch find(const GpaRange& range, MemoryUse wanted) {
    return all_held(range.size(), wanted);
  }
  /// About how much of the host's memory and disk space it takes, in bytes; all that the map has if that is
  /// unknown. Waits for nothing.
  [[nodiscard]] virtual std::uint64_t held_bytes() const { return map()->data_bytes(); }

  /// An open file shows this memory, until end_view(). Calls are counted.
  virtual void begin_view() = 0;
  virtual void end_view() = 0;
  /// The kernel keeps a page of what it has just got: for a mapping, sendfile(2) or splice(2). While the
  /// guest runs, the kernel is made to drop it soon.
  virtual void note_kept_page() = 0;

  [[nodiscard]] std::uint64_t size() const { return map()->ram_end().value(); }
};

} // namespace vmemfs
