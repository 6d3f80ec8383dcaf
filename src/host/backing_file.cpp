// SPDX-License-Identifier: MIT
#include "host/backing_file.h"

#include "core/gpa.h"
#include "core/text.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <optional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";

struct Opened {
  UniqueFd fd;
  std::string way;
};

/// Finds the file of one mapping. Every candidate is checked before it is opened, as opening a device or a
/// pipe may have side effects, and again afterwards, as a descriptor may have been replaced.
class Search {
public:
  Search(const Process& process, const Vma& vma) : process_{process}, vma_{vma} {}

  std::optional<Opened> map_files() {
    const std::string path =
        fmt::format("/proc/{}/map_files/{:x}-{:x}", process_.pid(), vma_.range.begin, vma_.range.end);
    // The device may differ from the one in maps (btrfs), but this is the mapping's own link.
    return try_path(path, "map_files", true);
  }

  std::optional<Opened> descriptors() {
    const auto fds = list_fds(process_.pid());
    if (!fds) {
      denied_ |= fds.error().kind == ErrorKind::permission;
      return std::nullopt;
    }
    for (const int fd : *fds) {
      const std::string path = fmt::format("/proc/{}/fd/{}", process_.pid(), fd);
      const auto target = fd_target(process_.pid(), fd);
      const bool same_path = target && *target == vma_.path;
      if (auto opened = try_path(path, fmt::format("fd {}", fd), same_path)) {
        return opened;
      }
      if (matches_path(path, same_path)) {
        if (auto opened = try_getfd(fd, same_path)) {
          return opened;
        }
      }
    }
    return std::nullopt;
  }

  std::optional<Opened> by_path() {
    return try_path(fmt::format("/proc/{}/root{}", process_.pid(), vma_.path), "path", true);
  }

  [[nodiscard]] bool not_regular() const { return not_regular_; }
  [[nodiscard]] bool denied() const { return denied_; }

private:
  /// `known`: the file system is known to be the right one without comparing the device number.
  [[nodiscard]] bool matches(const struct stat& info, bool known) {
    const bool same =
        info.st_ino == vma_.inode && (known || info.st_dev == makedev(vma_.device_major, vma_.device_minor));
    not_regular_ |= same && !S_ISREG(info.st_mode);
    return same && S_ISREG(info.st_mode);
  }

  [[nodiscard]] bool matches_path(const std::string& path, bool known) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
      denied_ |= errno == EPERM || errno == EACCES;
      return false;
    }
    return matches(info, known);
  }

  [[nodiscard]] bool matches_fd(int fd, bool known) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 && matches(info, known);
  }

  std::optional<Opened> try_path(const std::string& path, std::string way, bool known) {
    if (!matches_path(path, known)) {
      return std::nullopt;
    }
    UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    if (!fd) {
      denied_ |= errno == EPERM || errno == EACCES;
      return std::nullopt;
    }
    if (!matches_fd(fd.get(), known)) {
      return std::nullopt;
    }
    return Opened{std::move(fd), std::move(way)};
  }

  /// The process's own open file; helps if its mode forbids opening it again.
  std::optional<Opened> try_getfd(int number, bool known) {
    UniqueFd fd = process_.duplicate_fd(number);
    if (!fd || !matches_fd(fd.get(), known)) {
      return std::nullopt;
    }
    return Opened{std::move(fd), fmt::format("pidfd_getfd {}", number)};
  }

  const Process& process_;
  const Vma& vma_;
  bool not_regular_ = false;
  bool denied_ = false;
};

bool on_hugetlbfs(int fd) {
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 && info.f_type == HUGETLBFS_MAGIC;
}

/// Past the end of a file nothing is resident, so "resident" there shows that mincore() is not reliable.
bool mincore_works(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    return false;
  }
  const auto past_end =
      static_cast<off_t>((static_cast<std::uint64_t>(info.st_size) + kPageSize - 1) & ~(kPageSize - 1));
  void* const page = ::mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, fd, past_end);
  if (page == MAP_FAILED) {
    return false;
  }
  unsigned char resident = 1;
  const bool works = ::mincore(page, kPageSize, &resident) == 0 && (resident & 1U) == 0;
  ::munmap(page, kPageSize);
  return works;
}

} // namespace

BackingFile::BackingFile(UniqueFd fd, std::string way)
    : fd_{std::move(fd)}, way_{std::move(way)}, hugetlb_{on_hugetlbfs(fd_.get())},
      residency_known_{!hugetlb_ && mincore_works(fd_.get())} {}

Result<BackingFile> BackingFile::open(const Process& process, const Vma& vma) {
  Search search{process, vma};
  auto opened = search.map_files();
  if (!opened && !search.not_regular()) {
    opened = search.descriptors();
  }
  if (!opened && !search.not_regular()) {
    opened = search.by_path();
  }
  if (opened) {
    return BackingFile{std::move(opened->fd), std::move(opened->way)};
  }
  const std::string path = printable(vma.path, 200);
  if (search.not_regular()) {
    return fail(ErrorKind::unsupported, kOrigin, fmt::format("{} is not a regular file", path));
  }
  if (search.denied()) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("cannot open {}, which process {} has mapped ({}; if the process has closed the file, "
                    "only root or CAP_CHECKPOINT_RESTORE helps)",
                    path, process.pid(), access_remedy(process.pid())));
  }
  return fail(ErrorKind::unsupported, kOrigin,
              fmt::format("cannot open {}: process {} has no descriptor for it", path, process.pid()));
}

BackingFile::Progress BackingFile::read(std::uint64_t offset, std::span<std::byte> buffer) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        ::pread(fd_.get(), buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return {done, errno};
    }
    if (got == 0) {
      break;
    }
    done += static_cast<std::size_t>(got);
  }
  return {done, 0};
}

} // namespace vmemfs
