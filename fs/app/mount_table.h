// Which mount is where, without touching the mount: what is dead or hangs must not take us with it.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// One mount of this mount namespace. As long as it is there, no other has the same device.
struct MountIdentity {
  int id = 0;
  std::string device; ///< "0:52"

  friend bool operator==(const MountIdentity&, const MountIdentity&) = default;
};

/// What is mounted on `path` (absolute, no symbolic links in it), the uppermost where there are several;
/// `mountinfo` is a text as of /proc/self/mountinfo (see proc(5)). Lines that can't be read count for
/// nothing.
[[nodiscard]] std::optional<MountIdentity> find_mount(std::string_view mountinfo, std::string_view path);

/// The mounts that there are now. The file is kept open: what was mounted meanwhile may lie over its path.
class MountTable {
public:
  static Result<MountTable> open();

  [[nodiscard]] std::optional<MountIdentity> mounted_on(std::string_view path) const;

private:
  explicit MountTable(UniqueFd file) : file_{std::move(file)} {}

  UniqueFd file_;
};

} // namespace vmemfs
