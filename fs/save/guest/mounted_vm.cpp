// SPDX-License-Identifier: MIT
#include "fs/save/guest/mounted_vm.h"

#include "core/text.h"
#include "fs/save/guest/private_mount.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <iterator>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "save";
constexpr std::string_view kHowToMount =
    "give a directory of a mount, such as /mnt/vms/web01 (`vmemfs /mnt/vms` mounts the VMs of this host)";

/// Blanks and backslashes of mountinfo are \040 and the like.
std::string unescaped(std::string_view field) {
  constexpr std::size_t kDigits = 3;
  std::string text;
  for (std::size_t at = 0; at < field.size(); ++at) {
    unsigned value = 0;
    std::size_t digits = 0;
    while (field[at] == '\\' && digits < kDigits && at + digits + 1 < field.size() &&
           field[at + digits + 1] >= '0' && field[at + digits + 1] <= '7') {
      value = value * 8 + static_cast<unsigned>(field[at + digits + 1] - '0');
      ++digits;
    }
    text += digits == kDigits ? static_cast<char>(value) : field[at];
    at += digits == kDigits ? kDigits : 0;
  }
  return text;
}

std::string read_mountinfo() {
  std::ifstream file{"/proc/self/mountinfo"};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// Whether the user or root has made the mount. The kernel writes the options of the file system, which end
/// the line; a name that its user chose has no blank, and is before them.
bool is_trusted(std::string_view line, uid_t user) {
  constexpr std::string_view kKey = "user_id=";
  for (const std::string_view option : split(line.substr(line.rfind(' ') + 1), ',')) {
    if (option.starts_with(kKey)) {
      const auto owner = parse_u64(option.substr(kKey.size()));
      return owner == user || owner == std::uint64_t{0};
    }
  }
  return false;
}

bool has_files_of_a_vm(int directory) {
  constexpr std::array kFiles{"info", "control", "maps", "mem_padded"};
  struct stat status {};
  return std::ranges::all_of(kFiles, [&](const char* name) {
    return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
  });
}

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

} // namespace

std::vector<std::string> vmemfs_mountpoints(std::string_view mountinfo, uid_t user) {
  constexpr std::size_t kMountpoint = 4;
  std::vector<std::string> found;
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t separator = line.find(" - ");
    const std::string_view type_and_source = line.substr(std::min(line.size(), separator));
    constexpr std::string_view kType = " - fuse.vmemfs ";
    if (!type_and_source.starts_with(kType) || !is_trusted(line, user) ||
        type_and_source.substr(kType.size()).starts_with(fmt::format("{} ", kPrivateMountSource))) {
      continue;
    }
    if (const auto fields = split(line.substr(0, separator), ' '); fields.size() > kMountpoint) {
      found.push_back(unescaped(fields[kMountpoint]));
    }
  }
  return found;
}

bool means_gone(int os_errno) {
  return os_errno == ENODEV || os_errno == ENOENT || os_errno == ENOTCONN || os_errno == ECONNABORTED ||
         os_errno == ESTALE;
}

tl::unexpected<Error> vm_failure(int os_errno, const std::string& what) {
  if (os_errno == ENOTCONN || os_errno == ECONNABORTED) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("{}: the mount has gone; mount the VM again and start again", what));
  }
  if (means_gone(os_errno)) {
    return fail(
        ErrorKind::vm_gone, kOrigin,
        fmt::format("{}: the VM has ended or was detached; start again when it is listed again", what));
  }
  if (os_errno == EACCES || os_errno == EPERM) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("{}: {}; run as the user who mounted, or as root with the mount's option allow_other",
                    what, std::generic_category().message(os_errno)));
  }
  if (os_errno == EIO) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("{}: {}; the VM's file 'control' has the reason under last_error", what,
                            std::generic_category().message(os_errno)));
  }
  return fail_errno(os_errno, kOrigin, what);
}

/// O_NONBLOCK: whoever waits at a pipe of that name is no file of a VM, and must not be waited for.
Result<UniqueFd> open_file_of_vm(int directory, const FileOfVm& file, int flags) {
  const std::string what = fmt::format("cannot open '{}/{}'", printable(file.directory), file.name);
  const auto foreign = [&] {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("{}: it is not a file of that mount; is it a mount of vmemfs?", what));
  };
  UniqueFd fd{::openat(directory, file.name.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  if (!fd) {
    return errno == ELOOP || errno == ENXIO ? foreign() : vm_failure(errno, what);
  }
  struct stat mount {};
  struct stat status {};
  if (::fstat(directory, &mount) != 0 || ::fstat(fd.get(), &status) != 0) {
    return vm_failure(errno, what);
  }
  if (!S_ISREG(status.st_mode) || status.st_dev != mount.st_dev) {
    return foreign();
  }
  if (::fcntl(fd.get(), F_SETFL, flags) != 0) {
    return vm_failure(errno, what);
  }
  return fd;
}

Result<MountedVm> MountedVm::open_directory(const std::string& path) {
  UniqueFd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      return fail(ErrorKind::not_found, kOrigin,
                  fmt::format("'{}' is not the directory of a VM: {}; {}", printable(path),
                              std::generic_category().message(error), kHowToMount));
    }
    return vm_failure(error, fmt::format("cannot open '{}'", printable(path)));
  }
  struct statfs file_system {};
  if (::fstatfs(fd.get(), &file_system) != 0) {
    return vm_failure(errno, fmt::format("cannot ask for the file system of '{}'", printable(path)));
  }
  const bool is_fuse = static_cast<std::uint64_t>(file_system.f_type) == FUSE_SUPER_MAGIC;
  if (!is_fuse || !has_files_of_a_vm(fd.get())) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not the directory of a VM: {}; {}", printable(path),
                            is_fuse ? "it does not have the files of a VM" : "it is in no mount of vmemfs",
                            kHowToMount));
  }
  return MountedVm{path, std::move(fd)};
}

Result<MountedVm> MountedVm::find_by_name(const std::string& name) {
  const auto mountpoints = vmemfs_mountpoints(read_mountinfo(), ::geteuid());
  std::vector<std::string> found;
  for (const std::string& mountpoint : mountpoints) {
    if (const std::string path = fmt::format("{}/{}", mountpoint, name); is_directory(path)) {
      found.push_back(path);
    }
  }
  if (found.size() == 1) {
    return open_directory(found.front());
  }
  if (found.size() > 1) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("several mounts have a VM '{}'; give the path of one: {}", printable(name),
                            printable(fmt::format("{}", fmt::join(found, ", ")), 1000)));
  }
  return fail(
      ErrorKind::not_found, kOrigin,
      mountpoints.empty()
          ? fmt::format("cannot find the VM '{}': neither this user nor root has a mount of vmemfs; {}",
                        printable(name), kHowToMount)
          : fmt::format("no mount of vmemfs has a VM '{}'; this user and root have the mounts {}",
                        printable(name), printable(fmt::format("{}", fmt::join(mountpoints, ", ")), 1000)));
}

Result<MountedVm> MountedVm::find(const std::string& vm) {
  if (vm.find('/') != std::string::npos || vm == "." || vm == "..") {
    return open_directory(vm);
  }
  if (auto here = open_directory(vm)) { // in the current directory, which is then a mountpoint
    return here;
  }
  return find_by_name(vm);
}

Result<UniqueFd> MountedVm::open(const std::string& name, int flags) const {
  return open_file_of_vm(fd_.get(), {path_, name}, flags);
}

Result<std::string> MountedVm::read_text(const std::string& name, std::size_t max) const {
  const auto fd = open(name, O_RDONLY);
  if (!fd) {
    return tl::unexpected{fd.error()};
  }
  std::string text;
  std::array<char, 65536> part{};
  for (;;) {
    const ssize_t size = ::read(fd->get(), part.data(), part.size());
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size < 0) {
      return vm_failure(errno, fmt::format("cannot read '{}/{}'", printable(path_), name));
    }
    if (size == 0) {
      return text;
    }
    text.append(part.data(), static_cast<std::size_t>(size));
    if (text.size() > max) {
      return fail(ErrorKind::invalid, kOrigin,
                  fmt::format("'{}/{}' is too long; is it a mount of vmemfs?", printable(path_), name));
    }
  }
}

} // namespace vmemfs
