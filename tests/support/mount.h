// The real daemon, mounted on a directory of its own.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <memory>
#include <string>
#include <vector>

namespace vmemfs::test {

/// Whether the mount shows VMs that nobody named. Guests of other tests run beside, so most want none.
enum class Discover : unsigned char { off, on };

class Mount {
public:
  /// `args` are options of vmemfs, without the mountpoint. Throws, with what the daemon said, where
  /// the mount does not appear.
  explicit Mount(const std::vector<std::string>& args, Discover discover = Discover::off);
  ~Mount(); ///< unmounts

  [[nodiscard]] std::string path() const { return dir_ / "mnt"; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path() + "/" + name; }
  [[nodiscard]] ChildProcess& daemon() { return *daemon_; }
  [[nodiscard]] std::string log() const { return read_file(dir_ / "log"); }

  /// SIGKILL to the daemon, which leaves a dead mount.
  void kill_daemon();

  /// fusermount3 -u, and the daemon's exit code.
  [[nodiscard]] int unmount();

private:
  TempDir dir_;
  std::unique_ptr<ChildProcess> daemon_;
  bool killed_ = false;
};

/// True where `path` is the root of a mount.
[[nodiscard]] bool is_mountpoint(const std::string& path);

} // namespace vmemfs::test
