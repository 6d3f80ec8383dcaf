// SPDX-License-Identifier: MIT
// Table of the mounts of this mount namespace, read without accessing a mount: one that is dead or hangs must
// not block the caller.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// One mount. While it exists, no other has the same numbers; afterwards the next mount may get them
/// immediately, so the type is compared too.
struct MountIdentity {
  int id = 0;
  std::string device; ///< "0:52"
  std::string type;   ///< "fuse.vmemfs"

  friend bool operator==(const MountIdentity&, const MountIdentity&) = default;
};

/// The mount on `path` (absolute, without symbolic links), the top one if there are several; `mountinfo` is
/// the text of /proc/self/mountinfo (see proc(5)). Malformed lines are ignored.
[[nodiscard]] std::optional<MountIdentity> find_mount(std::string_view mountinfo, std::string_view path);

/// Path of the mount that `path` lies in: `path` itself or the closest directory above it that something is
/// mounted on. Same parameters.
[[nodiscard]] std::optional<std::string> enclosing_mount(std::string_view mountinfo, std::string_view path);

/// True if this mount is on `path`, on top or not.
[[nodiscard]] bool has_mount(std::string_view mountinfo, const MountIdentity& mount, std::string_view path);

/// The current mounts. The file is kept open, because a later mount may hide its path.
class MountTable {
public:
  static Result<MountTable> open();

  [[nodiscard]] std::optional<MountIdentity> mounted_on(std::string_view path) const;
  [[nodiscard]] std::optional<std::string> enclosing(std::string_view path) const;
  [[nodiscard]] bool has(const MountIdentity& mount, std::string_view path) const;
  /// poll(2) reports each change once, as POLLPRI and POLLERR.
  [[nodiscard]] int fd() const { return file_.get(); }

private:
  explicit MountTable(UniqueFd file) : file_{std::move(file)} {}

  UniqueFd file_;
};

} // namespace vmemfs
