// SPDX-License-Identifier: MIT
// Paths of a guest's files, by the dentries and mounts of its kernel.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/kernel_memory.h"

#include <cstdint>
#include <optional>
#include <string>

namespace vmemfs {

/// A struct path.
struct FilePath {
  std::uint64_t mount; ///< address of the vfsmount
  std::uint64_t dentry;

  bool operator==(const FilePath&) const = default;
};

/// Not thread-safe.
class PathReader {
public:
  /// Max number of names and mounts on the way to the root.
  static constexpr unsigned kMaxSteps = 512;
  /// Max bytes of a path, as PATH_MAX of Linux.
  static constexpr std::size_t kMaxBytes = 4096;

  /// no_data: the kernel's types lack something.
  [[nodiscard]] static Result<PathReader> create(KernelMemory& memory, const btf::Types& types);

  /// From the root of the mount namespace that the file is in, not from that of a process in a chroot. With
  /// " (deleted)" behind it, as /proc shows it, if the file is not in its directory any more. The bytes are
  /// the guest's. nullopt: it cannot be read, or is not a path.
  [[nodiscard]] std::optional<std::string> path(FilePath file) const;
  /// The same from `root`, which is that of a process. Empty: it is not below `root`.
  [[nodiscard]] std::optional<std::string> path_below(FilePath root, FilePath file) const;
  /// From the root of the file's own filesystem, with "//deleted" behind it if the file is not in its
  /// directory any more, as /proc/PID/mountinfo has it.
  [[nodiscard]] std::optional<std::string> path_in_filesystem(std::uint64_t dentry) const;

private:
  struct Layout {
    std::uint64_t parent;      ///< dentry.d_parent
    std::uint64_t name;        ///< dentry.d_name.name
    std::uint64_t name_length; ///< dentry.d_name.len
    std::uint64_t hash;        ///< dentry.d_hash.pprev
    std::uint64_t root;        ///< vfsmount.mnt_root
    std::uint64_t inner;       ///< mount.mnt, a vfsmount
    std::uint64_t mount_parent;
    std::uint64_t mountpoint;
  };

  PathReader(KernelMemory& memory, const Layout& layout) : memory_{memory}, layout_{layout} {}

  [[nodiscard]] std::optional<std::string> name(std::uint64_t dentry) const;
  [[nodiscard]] bool is_deleted(std::uint64_t dentry) const;
  /// `root`: where the way ends; without, at the root of the mount namespace.
  [[nodiscard]] std::optional<std::string> way_up(FilePath file, const FilePath* root) const;

  KernelMemory& memory_;
  Layout layout_;
};

} // namespace vmemfs
