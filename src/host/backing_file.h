// SPDX-License-Identifier: MIT
// The file behind a mapping of another process, opened by this process.
#pragma once

#include "core/error.h"
#include "host/proc_maps.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
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
  [[nodiscard]] bool is_hugetlb() const { return hugetlb_; }

  /// Whether mincore() is reliable for a mapping of this file. The kernel reports all pages as resident
  /// to a process that neither owns the file nor may write it; for hugetlbfs it only reports pages that
  /// this process has touched.
  [[nodiscard]] bool residency_known() const { return residency_known_; }

  /// How it was opened, for `info`: "map_files", "fd 12", ...
  [[nodiscard]] const std::string& way() const { return way_; }

  /// Reads at `offset` until the buffer is full, the file ends or an error occurs (`os_errno`, else
  /// 0). Never allocates pages in the file. Thread-safe.
  struct Progress {
    std::size_t done;
    int os_errno;
  };
  [[nodiscard]] Progress read(std::uint64_t offset, std::span<std::byte> buffer) const;

private:
  BackingFile(UniqueFd fd, std::string way);

  UniqueFd fd_;
  std::string way_;
  bool hugetlb_;
  bool residency_known_;
};

} // namespace vmemfs
