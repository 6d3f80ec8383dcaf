// SPDX-License-Identifier: MIT
// The file behind a mapping of another process, opened by this process.
#pragma once

#include "core/error.h"
#include "core/memory_use.h"
#include "host/proc_maps.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace vmemfs {

/// Immutable and thread-safe. Holding it keeps a memfd and its pages alive.
class BackingFile {
public:
  /// Opens the regular file behind `vma` read-only, by the first way that works: /proc/PID/map_files,
  /// /proc/PID/fd/N, pidfd_getfd. It has the device and the inode number of `vma`, and is never looked for by
  /// name. Files that are not regular are never opened (unsupported). permission: the text names the remedy.
  static Result<BackingFile> open(const Process& process, const Vma& vma);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool is_hugetlb() const;

  /// Whether mincore() is reliable for a mapping of this file. The kernel reports all pages as resident
  /// to a process that neither owns the file nor may write it; for hugetlbfs it only reports pages that
  /// this process has touched.
  [[nodiscard]] bool residency_known() const { return residency_known_; }

  /// Opens it again, for reading and writing: proof that this process may write it. unsupported: it is in a
  /// file system that may wait for somebody. Waits for nobody.
  [[nodiscard]] Result<UniqueFd> open_writable() const;

  /// In bytes; 0: unknown.
  [[nodiscard]] std::uint64_t size() const;

  /// How it was opened, for `info`: "map_files", "fd 12", ...
  [[nodiscard]] const std::string& way() const { return way_; }

  /// Reads at `offset` until the buffer is full, the file ends or an error occurs (`os_errno`, else
  /// 0). Never allocates pages in the file. Thread-safe.
  struct Progress {
    std::size_t done;
    int os_errno;
  };
  [[nodiscard]] Progress read(std::uint64_t offset, std::span<std::byte> buffer) const;

  /// Searches [offset, offset + size) for the first byte of one use, by the extents of the file; of a memfd
  /// or another tmpfs at most 1 GiB at a time if it is full, some 10 ms, since Linux 6.5. All is held if the
  /// extents are not reliable, and past the end of the file. Swapped pages are held.
  [[nodiscard]] UseSearch find(std::uint64_t offset, std::uint64_t size, MemoryUse wanted) const;

  /// Memory or disk space that the whole file takes; nullopt: unknown. One system call, waits for nothing.
  [[nodiscard]] std::optional<std::uint64_t> held_bytes() const;

private:
  /// `own_offset`: the descriptor shares its file offset with no other process.
  BackingFile(UniqueFd fd, std::string way, bool own_offset);

  [[nodiscard]] std::uint64_t held_from(std::uint64_t offset, std::uint64_t size) const;

  UniqueFd fd_;
  std::string way_;
  std::uint32_t file_system_; ///< its magic number
  bool residency_known_;
  bool extents_known_; ///< lseek() finds holes, never takes data for one, and may be used
};

} // namespace vmemfs
