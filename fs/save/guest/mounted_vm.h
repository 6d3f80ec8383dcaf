// SPDX-License-Identifier: MIT
// Directory of a VM in a mount of vmemfs, as a client of the mount sees it.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace vmemfs {

/// Mountpoints of vmemfs in a text such as /proc/self/mountinfo, of mounts that `user` or root has made: what
/// somebody else mounts may have any VM's name.
[[nodiscard]] std::vector<std::string> vmemfs_mountpoints(std::string_view mountinfo, uid_t user);

struct FileOfVm {
  std::string directory; ///< for messages
  std::string name;
};

/// A regular file of the file system of `directory`. Whoever serves that one cannot lead elsewhere: symbolic
/// links are not followed. `flags`: of open(2).
[[nodiscard]] Result<UniqueFd> open_file_of_vm(int directory, const FileOfVm& file, int flags);

/// Stays that of one VM: if the VM ends and another one gets its name, files cannot be opened any more.
class MountedVm {
public:
  /// `vm` is a path, or a name that exactly one mount of this user or of root has. The text of an error says
  /// what is wrong with it.
  [[nodiscard]] static Result<MountedVm> find(const std::string& vm);

  [[nodiscard]] const std::string& path() const { return path_; }

  /// A file of the directory.
  [[nodiscard]] Result<UniqueFd> open(const std::string& name, int flags) const;
  static constexpr std::size_t kMaxText = std::size_t{16} << 20U;
  /// A small text, all of it; fails if it has more than `max` bytes.
  [[nodiscard]] Result<std::string> read_text(const std::string& name, std::size_t max = kMaxText) const;

private:
  MountedVm(std::string path, UniqueFd fd) : path_{std::move(path)}, fd_{std::move(fd)} {}
  static Result<MountedVm> open_directory(const std::string& path);
  static Result<MountedVm> find_by_name(const std::string& name);

  std::string path_;
  UniqueFd fd_;
};

/// Whether an errno of an operation on a file of the directory says that the VM or its mount has gone.
[[nodiscard]] bool means_gone(int os_errno);

/// The failure of such an operation, with the remedy. `what`: such as "cannot read 'core' of 'web01'".
[[nodiscard]] tl::unexpected<Error> vm_failure(int os_errno, const std::string& what);

} // namespace vmemfs
