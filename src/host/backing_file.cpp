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

/// The device of a file as /proc/PID/maps has it, which stat() reports differently on btrfs and overlayfs:
/// that of a mapping of our own.
bool maps_have(int fd, const Vma& vma) {
  void* const page = ::mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) {
    return false;
  }
  const auto maps = read_own_maps();
  const Vma* const ours = maps ? find_vma(*maps, reinterpret_cast<Hva>(page)) : nullptr;
  const bool same = ours != nullptr && ours->inode == vma.inode && ours->device_major == vma.device_major &&
                    ours->device_minor == vma.device_minor;
  ::munmap(page, kPageSize);
  return same;
}

/// Finds the file of one mapping, among what the process has mapped or open; never by a name, behind which it
/// could have put any file. A candidate is first only referred to (O_PATH), as opening a device or a pipe may
/// have side effects, and what was examined is what is opened.
class Search {
public:
  Search(const Process& process, const Vma& vma) : process_{process}, vma_{vma} {}

  std::optional<Opened> map_files() {
    return try_link(
        fmt::format("/proc/{}/map_files/{:x}-{:x}", process_.pid(), vma_.range.begin, vma_.range.end),
        "map_files");
  }

  std::optional<Opened> descriptors() {
    const auto fds = list_fds(process_.pid());
    if (!fds) {
      denied_ |= fds.error().kind == ErrorKind::permission;
      return std::nullopt;
    }
    for (const int fd : *fds) {
      if (auto opened =
              try_link(fmt::format("/proc/{}/fd/{}", process_.pid(), fd), fmt::format("fd {}", fd))) {
        return opened;
      }
      if (reopening_failed_) {
        if (auto opened = try_getfd(fd)) {
          return opened;
        }
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] bool not_regular() const { return not_regular_; }
  [[nodiscard]] bool denied() const { return denied_; }

private:
  /// Whether the file may be the right one: a regular file with this number, on whichever device.
  [[nodiscard]] bool may_match(int fd) {
    struct stat info {};
    if (::fstat(fd, &info) != 0 || info.st_ino != vma_.inode) {
      return false;
    }
    not_regular_ |= !S_ISREG(info.st_mode) && on_device(info);
    return S_ISREG(info.st_mode);
  }

  [[nodiscard]] bool on_device(const struct stat& info) const {
    return info.st_dev == makedev(vma_.device_major, vma_.device_minor);
  }

  [[nodiscard]] bool matches(int fd) {
    struct stat info {};
    return may_match(fd) && ::fstat(fd, &info) == 0 && (on_device(info) || maps_have(fd, vma_));
  }

  /// `link` leads to an open file of the process, not to a name.
  std::optional<Opened> try_link(const std::string& link, std::string way) {
    reopening_failed_ = false;
    const UniqueFd candidate{::open(link.c_str(), O_PATH | O_CLOEXEC)};
    if (!candidate) {
      denied_ |= errno == EPERM || errno == EACCES;
      return std::nullopt;
    }
    if (!may_match(candidate.get())) {
      return std::nullopt;
    }
    UniqueFd fd{
        ::open(fmt::format("/proc/self/fd/{}", candidate.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    if (!fd) {
      reopening_failed_ = true;
      denied_ |= errno == EPERM || errno == EACCES;
      return std::nullopt;
    }
    return matches(fd.get()) ? std::optional{Opened{std::move(fd), std::move(way)}} : std::nullopt;
  }

  /// The process's own open file; helps if its mode forbids opening it again.
  std::optional<Opened> try_getfd(int number) {
    UniqueFd fd = process_.duplicate_fd(number);
    if (!fd || !matches(fd.get())) {
      return std::nullopt;
    }
    return Opened{std::move(fd), fmt::format("pidfd_getfd {}", number)};
  }

  const Process& process_;
  const Vma& vma_;
  bool not_regular_ = false;
  bool denied_ = false;
  bool reopening_failed_ = false; ///< of the last link
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
