// SPDX-License-Identifier: MIT
// Reads of another process's memory that backs guest RAM, without making it grow.
//
// Each stretch is read in the way that fits its mapping:
//   shared file (memfd, tmpfs, hugetlbfs, disk)  pread of the file, or a borrowed local mapping
//   private, no file                             the process (private_batch.h)
//   private with a file, huge pages without one  the process if /proc/PID/pagemap reports a page,
//                                                else the file or zeros
//   anything else (device memory, [vvar], ...)   refused
// Reading an absent shared or huge page through a mapping would allocate it; hence the different ways. None
// of them reads another program that the process executes.
#pragma once

#include "core/error.h"
#include "core/memory_use.h"
#include "host/host_segment.h"
#include "host/hva.h"
#include "host/pagemap.h"
#include "host/process_space.h"
#include "host/userfault.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

/// One piece of a batch read, as ReadPiece of driver/driver.h but at a host virtual address.
struct HostPiece {
  Hva hva;
  std::span<std::byte> buffer;
  std::size_t done = 0;                  ///< bytes read, from the start of buffer
  std::optional<ErrorKind> failure = {}; ///< why done < buffer.size(); never set on a complete piece
};

/// Access method of one stretch; for `info` and for leaving out unreadable ones.
struct HostStretch {
  HvaRange range;
  bool usable;
  std::string detail; ///< "shared file /dev/shm/x, mapped", or why it is refused
};

/// The layout is that of open(): open again when the process may have mapped something else there (the VM's
/// memory map changed, or a read failed with source_failed). Immutable and thread-safe.
class HostMemory {
public:
  /// `ranges` may be in any order; overlaps are merged. A range may span several mappings, with gaps;
  /// unusable parts are listed in stretches(). Fails if nothing is usable, or for lack of permission
  /// (permission; the text names the remedy).
  static Result<std::shared_ptr<HostMemory>> open(std::shared_ptr<const ProcessSpace> space,
                                                  std::span<const HvaRange> ranges);

  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory() = default;

  /// Reads all pieces, each with its own result; no allocation, no locks. Failures: vm_gone (all
  /// pieces, done = 0), source_failed (not mapped there any more, or the file was cut short),
  /// unsupported (refused stretch), hole (outside of what was opened), permission.
  void read(std::span<HostPiece> pieces) const;

  /// The memory in a mapping of this process, or an empty span if it is not a mapped shared file, or not
  /// wholly in host memory, or larger than 1 MiB and a page, or the process has ended; or no more than a
  /// page, as to ask whether one is in host memory takes as long as to read it. The bytes must only be passed
  /// to a system call, never accessed, and stay mapped as long as this object.
  [[nodiscard]] std::span<const std::byte> borrow(Hva hva, std::size_t size) const;

  /// The file of which the whole range is a shared mapping, and where it begins in it; a null file: there is
  /// none.
  struct SharedFile {
    std::shared_ptr<const BackingFile> file;
    std::uint64_t offset = 0;
    bool written_by_process = false; ///< see HostSegment
  };
  [[nodiscard]] SharedFile shared_file(const HvaRange& range) const;

  /// Searches for the first byte of one use, from the begin of the range on, within one segment at most.
  /// Sparse are holes of shared files, as the file system reports them, and absent pages of private memory
  /// without a file. Held is all else, such as private copies of a file, huge pages, and everything while the
  /// process has a userfaultfd, whose handler may have the content of absent pages; that it has opened one is
  /// noticed within 50 ms. Takes milliseconds; may wait as read() does.
  [[nodiscard]] UseSearch find(const HvaRange& range, MemoryUse wanted) const;

  /// About how much of the host's memory and disk space the ranges take. Of private memory it is what the
  /// process has in all, so too much rather than too little; where nothing is known, all. Waits for nothing.
  [[nodiscard]] std::uint64_t held_bytes(std::span<const HvaRange> ranges) const;

  /// Access methods as text: the usable kinds, the largest first.
  [[nodiscard]] std::string describe() const;

  /// Sorted by address; neighbours with the same access method are one stretch.
  [[nodiscard]] std::vector<HostStretch> stretches() const;

private:
  HostMemory(std::shared_ptr<const ProcessSpace> space, std::vector<HostSegment> segments);

  std::shared_ptr<const ProcessSpace> space_;
  std::vector<HostSegment> segments_; ///< sorted, no overlap
  Pagemap pagemap_{*space_};
  mutable UserfaultWatch userfault_;
};

} // namespace vmemfs
