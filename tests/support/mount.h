// SPDX-License-Identifier: MIT
// The real daemon, mounted on a directory of its own.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::test {

/// Whether the mount shows VMs that nobody named. Guests of other tests run beside, so most want none.
enum class Discover : unsigned char { off, on };

/// The user that the daemon runs as: a command prefix, and the owner of the mountpoint.
struct RunAs {
  std::vector<std::string> command;
  uid_t user;
};

class Mount {
public:
  /// `args` are options of vmemfs, without the mountpoint; a VM of QEMU without a timeout of its own gets a
  /// long one. Throws, with what the daemon said, where the mount does not appear.
  explicit Mount(const std::vector<std::string>& args, Discover discover = Discover::off,
                 const std::optional<RunAs>& run_as = std::nullopt);
  ~Mount(); ///< unmounts

  [[nodiscard]] std::string path() const { return dir_ / "mnt"; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path() + "/" + name; }
  [[nodiscard]] ChildProcess& daemon() { return *daemon_; }
  [[nodiscard]] std::string log() const { return read_file(dir_ / "log"); }

  /// The process that unmounts when the daemon has ended.
  [[nodiscard]] pid_t mounter() const;

  /// SIGKILL to the daemon. The mount goes soon after.
  void kill_daemon();

  /// fusermount3 -u, and the daemon's exit code.
  [[nodiscard]] int unmount();

private:
  TempDir dir_;
  std::vector<std::string> as_; ///< before what is to be done as the daemon's user
  std::unique_ptr<ChildProcess> daemon_;
  bool killed_ = false;
};

/// True where something is mounted on `path`, dead or not. Does not touch it.
[[nodiscard]] bool is_mountpoint(const std::string& path);

/// No mount, neither a working nor a dead one.
[[nodiscard]] bool is_plain_directory(const std::string& path);

} // namespace vmemfs::test
