// SPDX-License-Identifier: MIT
// Which mount is where, without touching the mount: what is dead or hangs must not take us with it.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// One mount of this mount namespace. As long as it is there, no other has the same numbers;
/// afterwards the next one may, also at once, so that the type tells at least a mount of another kind.
struct MountIdentity {
  int id = 0;
  std::string device; ///< "0:52"
  std::string type;   ///< "fuse.vmemfs"

  friend bool operator==(const MountIdentity&, const MountIdentity&) = default;
};

/// What is mounted on `path` (absolute, no symbolic links in it), the uppermost where there are several;
/// `mountinfo` is a text as of /proc/self/mountinfo (see proc(5)). Lines that can't be read count for
/// nothing.
[[nodiscard]] std::optional<MountIdentity> find_mount(std::string_view mountinfo, std::string_view path);

/// Is this mount on `path`, uppermost or not?
[[nodiscard]] bool has_mount(std::string_view mountinfo, const MountIdentity& mount, std::string_view path);

/// The mounts that there are now. The file is kept open: what was mounted meanwhile may lie over its path.
class MountTable {
public:
  static Result<MountTable> open();

  [[nodiscard]] std::optional<MountIdentity> mounted_on(std::string_view path) const;
  [[nodiscard]] bool has(const MountIdentity& mount, std::string_view path) const;
  /// POLLPRI and POLLERR tell once of every change.
  [[nodiscard]] int fd() const { return file_.get(); }

private:
  explicit MountTable(UniqueFd file) : file_{std::move(file)} {}

  UniqueFd file_;
};

} // namespace vmemfs
