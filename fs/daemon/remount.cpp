// SPDX-License-Identifier: MIT
#include "fs/daemon/remount.h"

#include "core/text.h"
#include "fs/daemon/mount_table.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <string_view>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <system_error>

namespace vmemfs {
namespace {

constexpr std::string_view kType = "fuse.vmemfs";

struct Flag {
  std::string_view set;
  std::string_view cleared;
  unsigned long of_mount;
  unsigned long of_statvfs; ///< by which it is reported
};

// Since Linux 5.10; not in the headers of Debian 12's C library.
constexpr unsigned long kNoSymlinkFollow = 256;
constexpr unsigned long kReportedNoSymlinkFollow = 8192;

constexpr std::array kFlags{
    Flag{"ro", "rw", MS_RDONLY, ST_RDONLY},
    Flag{"nosuid", "", MS_NOSUID, ST_NOSUID},
    Flag{"nodev", "", MS_NODEV, ST_NODEV},
    Flag{"noexec", "exec", MS_NOEXEC, ST_NOEXEC},
    Flag{"sync", "async", MS_SYNCHRONOUS, ST_SYNCHRONOUS},
    Flag{"noatime", "atime", MS_NOATIME, ST_NOATIME},
    Flag{"nodiratime", "diratime", MS_NODIRATIME, ST_NODIRATIME},
    Flag{"nosymfollow", "symfollow", kNoSymlinkFollow, kReportedNoSymlinkFollow},
};

/// What mount(8) and mount.fuse3(8) pass on of the mount as it is. `suid` and `dev` come from the helper too,
/// so they never loosen a mount.
bool is_of_the_mount(std::string_view option) {
  constexpr std::array<std::string_view, 5> kWords{"suid", "dev", "allow_other", "default_permissions",
                                                   "dirsync"};
  constexpr std::array<std::string_view, 8> kPrefixes{
      "user_id=", "group_id=", "rootmode=", "fd=", "fsname=", "subtype=", "blksize=", "max_read="};
  return std::ranges::find(kWords, option) != kWords.end() ||
         std::ranges::any_of(kPrefixes, [&](std::string_view prefix) { return option.starts_with(prefix); });
}

Result<unsigned long> current_flags(const std::string& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) {
    return fail_errno(errno, "mount", fmt::format("cannot get the flags of '{}'", printable(path)));
  }
  unsigned long flags = 0;
  for (const Flag& flag : kFlags) {
    flags |= (status.f_flag & flag.of_statvfs) != 0 ? flag.of_mount : 0;
  }
  return flags;
}

Result<unsigned long> changed(unsigned long flags, const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    if (is_of_the_mount(option)) {
      continue;
    }
    const auto flag = std::ranges::find_if(
        kFlags, [&](const Flag& known) { return option == known.set || option == known.cleared; });
    if (flag == kFlags.end()) {
      return fail(
          ErrorKind::invalid, "mount",
          fmt::format("'{}' cannot be changed while mounted; unmount, and mount with it", printable(option)));
    }
    flags = option == flag->set ? flags | flag->of_mount : flags & ~flag->of_mount;
  }
  return flags;
}

} // namespace

Result<void> check_outside_of_vmemfs(const std::string& mountpoint) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(mountpoint, error);
  const auto table = MountTable::open();
  if (error || !table) {
    return {}; // the checks that follow say what is wrong with it
  }
  const auto around = table->enclosing(path.native());
  const auto mount = around ? table->mounted_on(*around) : std::nullopt;
  if (!mount || mount->type != kType) {
    return {};
  }
  return fail(ErrorKind::busy, "mount",
              fmt::format("'{}' lies in the vmemfs that is mounted on '{}'; take a directory outside of it",
                          printable(mountpoint), printable(*around)));
}

/// The mountpoint itself is not asked for anything: its daemon may hang.
Result<std::string> find_vmemfs_mount(const std::string& mountpoint) {
  const std::filesystem::path plain = std::filesystem::path{mountpoint}.lexically_normal();
  const std::filesystem::path named = plain.has_filename() ? plain : plain.parent_path();
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::canonical(named.parent_path(), error);
  const std::string path = error ? named.string() : (parent / named.filename()).string();
  const auto table = MountTable::open();
  if (!table) {
    return tl::unexpected{table.error()};
  }
  if (const auto mounted = table->mounted_on(path); mounted && mounted->type == kType) {
    return path;
  }
  // It may be a symbolic link.
  const std::string target = std::filesystem::canonical(named, error).string();
  const auto mounted = error ? std::nullopt : table->mounted_on(target);
  if (!mounted || mounted->type != kType) {
    return fail(ErrorKind::not_found, "mount",
                fmt::format("no vmemfs is mounted on '{}'", printable(mountpoint)));
  }
  return target;
}

Result<void> remount(const std::string& mountpoint, const std::vector<std::string>& options) {
  return find_vmemfs_mount(mountpoint).and_then([&](const std::string& path) -> Result<void> {
    const auto flags =
        current_flags(path).and_then([&](unsigned long current) { return changed(current, options); });
    if (!flags) {
      return tl::unexpected{flags.error()};
    }
    if (::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | *flags, nullptr) != 0) {
      return fail_errno(errno, "mount", fmt::format("cannot remount '{}'; it takes root", printable(path)));
    }
    return {};
  });
}

} // namespace vmemfs
