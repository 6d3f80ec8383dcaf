// SPDX-License-Identifier: MIT
#include "host/backing_file.h"

#include "core/gpa.h"
#include "core/text.h"

#include <algorithm>
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
  bool own_offset = true; ///< it does not share its file offset with the process
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
    return Opened{std::move(fd), fmt::format("pidfd_getfd {}", number), false};
  }

  const Process& process_;
  const Vma& vma_;
  bool not_regular_ = false;
  bool denied_ = false;
  bool reopening_failed_ = false; ///< of the last link
};

/// The magic number of its file system, 0 if unknown.
std::uint32_t file_system(int fd) {
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 ? static_cast<std::uint32_t>(info.f_type) : 0;
}

/// File systems of which lseek() reports pages that were written by a mapping as data at once. Network and
/// FUSE file systems may ask a server that does not know of them yet, and may wait for it.
bool reports_extents(std::uint32_t type) {
  constexpr std::uint32_t kXfsMagic = 0x58465342; // of no exported header
  return type == TMPFS_MAGIC || type == EXT4_SUPER_MAGIC || type == kXfsMagic || type == BTRFS_SUPER_MAGIC;
}

// cachestat(2), which Debian 12's headers don't have yet.
constexpr long kCachestat = 451;
struct CacheRange {
  std::uint64_t offset;
  std::uint64_t size;
};
struct CacheCounts {
  std::uint64_t cached;
  std::uint64_t dirty;
  std::uint64_t writeback;
  std::uint64_t evicted;
  std::uint64_t recently_evicted;
};

/// Whether a tmpfs has all pages of the range, in memory or in swap. False before Linux 6.5, and if this
/// process may not write the file, which newer kernels require.
bool has_all_pages(int fd, std::uint64_t offset, std::uint64_t size) {
  CacheRange range{offset, size};
  CacheCounts counts{};
  const std::uint64_t pages = ((offset + size - 1) >> kPageShift) - (offset >> kPageShift) + 1;
  return ::syscall(kCachestat, fd, &range, &counts, 0) == 0 && counts.cached + counts.evicted >= pages;
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

BackingFile::BackingFile(UniqueFd fd, std::string way, bool own_offset)
    : fd_{std::move(fd)}, way_{std::move(way)}, file_system_{file_system(fd_.get())},
      residency_known_{!is_hugetlb() && mincore_works(fd_.get())},
      extents_known_{own_offset && reports_extents(file_system_)} {}

bool BackingFile::is_hugetlb() const { return file_system_ == HUGETLBFS_MAGIC; }

Result<BackingFile> BackingFile::open(const Process& process, const Vma& vma) {
  Search search{process, vma};
  auto opened = search.map_files();
  if (!opened && !search.not_regular()) {
    opened = search.descriptors();
  }
  if (opened) {
    return BackingFile{std::move(opened->fd), std::move(opened->way), opened->own_offset};
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

// The process may have opened it for writing although this one may not: that is not taken over. A lease that
// its owner holds is not waited for.
Result<UniqueFd> BackingFile::open_writable() const {
  if (!reports_extents(file_system_)) { // its server may never answer
    return fail(ErrorKind::unsupported, kOrigin, "the memory file is not in tmpfs, ext4, XFS or btrfs");
  }
  UniqueFd fd{
      ::open(fmt::format("/proc/self/fd/{}", fd_.get()).c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
  return fd ? Result<UniqueFd>{std::move(fd)}
            : fail_errno(errno, kOrigin, "cannot open the memory file for writing");
}

std::uint64_t BackingFile::size() const {
  struct stat info {};
  return ::fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
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

UseSearch BackingFile::find(std::uint64_t offset, std::uint64_t size, MemoryUse wanted) const {
  struct stat info {}; // first: what is added to the file later was not searched
  if (!extents_known_ || ::fstat(fd_.get(), &info) != 0) {
    return all_held(size, wanted);
  }
  const auto file_size = static_cast<std::uint64_t>(info.st_size);
  if (offset >= file_size) {
    return all_held(size, wanted);
  }
  const std::uint64_t inside = std::min(size, file_size - offset);
  if (wanted == MemoryUse::sparse) {
    if (const std::uint64_t held = held_from(offset, inside); held > 0) {
      return {held == inside ? size : held, false};
    }
  }
  const off_t at =
      ::lseek(fd_.get(), static_cast<off_t>(offset), wanted == MemoryUse::held ? SEEK_DATA : SEEK_HOLE);
  if (at < 0) {
    const bool no_data = wanted == MemoryUse::held && errno == ENXIO;
    return no_data ? UseSearch{inside, inside < size} : all_held(size, wanted);
  }
  const std::uint64_t before = static_cast<std::uint64_t>(at) - offset;
  if (before < inside) {
    return {before, true};
  }
  return wanted == MemoryUse::held ? UseSearch{inside, inside < size} : UseSearch{size, false};
}

/// lseek() would search all of a memfd, page by page; counting its pages is faster, and can be limited.
std::uint64_t BackingFile::held_from(std::uint64_t offset, std::uint64_t size) const {
  constexpr std::uint64_t kMax = std::uint64_t{1} << 30U;
  constexpr std::uint64_t kStep = std::uint64_t{16} << 20U; // little is counted in vain if a hole is near
  std::uint64_t held = 0;
  while (file_system_ == TMPFS_MAGIC && held < std::min(size, kMax)) {
    const std::uint64_t step = std::min(kStep, size - held);
    if (!has_all_pages(fd_.get(), offset + held, step)) {
      break;
    }
    held += step;
  }
  return held;
}

std::optional<std::uint64_t> BackingFile::held_bytes() const {
  constexpr std::uint64_t kBlock = 512; // the unit of st_blocks
  struct stat info {};
  if (!extents_known_ || ::fstat(fd_.get(), &info) != 0) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(info.st_blocks) * kBlock;
}

} // namespace vmemfs
