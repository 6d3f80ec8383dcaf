// SPDX-License-Identifier: MIT
// Directory of a VM in a mount of vmemfs, as a client of the mount sees it.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// Mountpoints of vmemfs in a text such as /proc/self/mountinfo.
[[nodiscard]] std::vector<std::string> vmemfs_mountpoints(std::string_view mountinfo);

/// Stays that of one VM: if the VM ends and another one gets its name, files cannot be opened any more.
class VmDirectory {
public:
  /// `vm` is a path, or a name that the directory of exactly one mount has. The text of an error says what is
  /// wrong with it.
  [[nodiscard]] static Result<VmDirectory> find(const std::string& vm);

  [[nodiscard]] const std::string& path() const { return path_; }

  /// A file of the directory.
  [[nodiscard]] Result<UniqueFd> open(const std::string& name, int flags) const;
  /// A small text, all of it.
  [[nodiscard]] Result<std::string> read_text(const std::string& name) const;

private:
  VmDirectory(std::string path, UniqueFd fd) : path_{std::move(path)}, fd_{std::move(fd)} {}
  static Result<VmDirectory> open_directory(const std::string& path);
  static Result<VmDirectory> find_by_name(const std::string& name);

  std::string path_;
  UniqueFd fd_;
};

/// Whether an errno of an operation on a file of the directory says that the VM or its mount has gone.
[[nodiscard]] bool means_gone(int os_errno);

/// The failure of such an operation, with the remedy. `what`: such as "cannot read 'core' of 'web01'".
[[nodiscard]] tl::unexpected<Error> vm_failure(int os_errno, const std::string& what);

} // namespace vmemfs
