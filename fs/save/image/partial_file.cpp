// SPDX-License-Identifier: MIT
#include "fs/save/image/partial_file.h"

#include "core/text.h"
#include "fs/save/size_text.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "save";
constexpr mode_t kMode = 0600;

/// Fails if the name is taken by something that may not be replaced.
Result<void> check_name(int directory, const std::string& name, const std::string& path,
                        Overwrite overwrite) {
  struct stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return {}; // other errors are those of creating the file
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("cannot write '{}': it is {}; give the name of a new file", printable(path),
                            S_ISDIR(status.st_mode) ? "a directory" : "not a regular file"));
  }
  if (overwrite == Overwrite::no) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("cannot write '{}': it exists; give another name, or --overwrite", printable(path)));
  }
  return {};
}

} // namespace

PartialFile::PartialFile(std::string path, UniqueFd directory, UniqueFd fd, Overwrite overwrite)
    : path_{std::move(path)}, name_{std::filesystem::path{path_}.filename()},
      directory_{std::move(directory)}, fd_{std::move(fd)}, overwrite_{overwrite} {}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_{std::move(other.path_)}, name_{std::move(other.name_)}, directory_{std::move(other.directory_)},
      fd_{std::move(other.fd_)}, overwrite_{other.overwrite_},
      published_{std::exchange(other.published_, true)} {}

PartialFile::~PartialFile() {
  if (!published_) {
    remove(name_ + std::string{kPartialSuffix});
  }
}

/// Somebody who may write to the directory may have given the name to another file.
bool PartialFile::is_ours(const std::string& name) const {
  struct stat ours {};
  struct stat named {};
  return ::fstat(fd_.get(), &ours) == 0 &&
         ::fstatat(directory_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
}

Result<void> PartialFile::check_ours(const std::string& name) const {
  if (!is_ours(name)) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("cannot write '{}': somebody else has removed or replaced '{}' in its directory; "
                            "start again, in a directory of your own",
                            printable(path_), printable(name)));
  }
  return {};
}

void PartialFile::remove(const std::string& name) const {
  if (is_ours(name)) {
    ::unlinkat(directory_.get(), name.c_str(), 0);
  }
}

Result<PartialFile> PartialFile::create(const std::string& path, Overwrite overwrite) {
  const std::filesystem::path whole{path};
  const std::string name = whole.filename();
  if (name.empty() || name == "." || name == "..") {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not the name of a file; give one, such as web01.elf", printable(path)));
  }
  const std::string folder = whole.has_parent_path() ? whole.parent_path().string() : ".";
  UniqueFd directory{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("cannot write '{}': the directory '{}': {}; give one that exists and that you "
                            "may read and write",
                            printable(path), printable(folder), std::generic_category().message(errno)));
  }
  if (auto free = check_name(directory.get(), name, path, overwrite); !free) {
    return tl::unexpected{std::move(free.error())};
  }
  const std::string partial = name + std::string{kPartialSuffix};
  UniqueFd fd{
      ::openat(directory.get(), partial.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode)};
  if (!fd && errno == EEXIST) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("cannot write '{0}': '{0}{1}' exists; another save is writing it, or was killed: "
                            "then remove it",
                            printable(path), kPartialSuffix));
  }
  if (!fd) {
    return write_failure(errno, path);
  }
  ::fchmod(fd.get(), kMode); // whatever the umask is
  return PartialFile{path, std::move(directory), std::move(fd), overwrite};
}

Result<void> PartialFile::sync() const {
  if (::fsync(fd_.get()) != 0) {
    return write_failure(errno, path_);
  }
  return {};
}

/// Without --overwrite, a file that has appeared in the meantime is not replaced. File systems without such
/// a rename have hard links.
Result<void> PartialFile::rename() const {
  const int directory = directory_.get();
  const std::string partial = name_ + std::string{kPartialSuffix};
  const unsigned flags = overwrite_ == Overwrite::no ? RENAME_NOREPLACE : 0U;
  int result = ::renameat2(directory, partial.c_str(), directory, name_.c_str(), flags);
  if (result != 0 && flags != 0 && errno == EINVAL) {
    result = ::linkat(directory, partial.c_str(), directory, name_.c_str(), 0);
    if (result == 0) {
      ::unlinkat(directory, partial.c_str(), 0);
    }
  }
  if (result != 0 && errno == EEXIST) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("cannot write '{}': somebody else has created it in the meantime; start again "
                            "with another name",
                            printable(path_)));
  }
  if (result != 0) {
    return write_failure(errno, path_);
  }
  return {};
}

Result<void> PartialFile::publish() {
  if (auto ours = check_ours(name_ + std::string{kPartialSuffix}); !ours) {
    return ours;
  }
  if (auto renamed = rename(); !renamed) {
    return renamed;
  }
  published_ = true;
  if (auto ours = check_ours(name_); !ours) {
    return ours;
  }
  if (::fsync(directory_.get()) != 0 && errno != EINVAL) { // EINVAL: this file system has no such thing
    const int error = errno;
    withdraw();
    return write_failure(error, path_);
  }
  return {};
}

void PartialFile::withdraw() {
  if (published_) {
    remove(name_);
  }
}

tl::unexpected<Error> write_failure(int os_errno, const std::string& path) {
  const char* remedy = "";
  if (os_errno == ENOSPC || os_errno == EDQUOT) {
    remedy = "; free some space, or write to another file system";
  } else if (os_errno == EACCES || os_errno == EPERM || os_errno == EROFS) {
    remedy = "; write to a directory that you may write to";
  } else if (os_errno == EFBIG) {
    remedy = "; raise the limit (ulimit -f), or write to a file system that has files of this size";
  } else if (os_errno == EPIPE) {
    remedy = "; the program that reads the pipe has ended";
  }
  return fail(kind_of_errno(os_errno), kOrigin,
              fmt::format("cannot write '{}': {}{}", printable(path),
                          std::generic_category().message(os_errno), remedy));
}

Result<void> check_free_space(const PartialFile& file, std::uint64_t bytes) {
  struct statvfs status {};
  if (::fstatvfs(file.fd(), &status) != 0 || status.f_blocks == 0) {
    return {}; // the file system does not say it
  }
  const std::uint64_t blocks = ::geteuid() == 0 ? status.f_bfree : status.f_bavail;
  if (const std::uint64_t free = blocks * status.f_frsize; free < bytes) {
    return fail(ErrorKind::no_memory, kOrigin,
                fmt::format("cannot write '{}': the image takes about {} ({} bytes), and the file system has "
                            "{} free ({} bytes); free some space, or write to another file system",
                            printable(file.path()), size_text(bytes), bytes, size_text(free), free));
  }
  return {};
}

} // namespace vmemfs
