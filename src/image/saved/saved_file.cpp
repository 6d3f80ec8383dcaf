// SPDX-License-Identifier: MIT
#include "image/saved/saved_file.h"

#include "core/gpa.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {

Result<SavedFile> SavedFile::open(const std::string& path) {
  // O_NONBLOCK so that naming a FIFO by mistake is an error and not a wait.
  UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file) {
    return fail_errno(errno, "dump", fmt::format("cannot open '{}'", path));
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return fail_errno(errno, "dump", fmt::format("cannot look at '{}'", path));
  }
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    const bool regular = S_ISREG(status.st_mode);
    const std::string_view what = regular                   ? "empty"
                                  : S_ISDIR(status.st_mode) ? "a directory"
                                                            : "not a regular file";
    return fail(ErrorKind::invalid, "dump",
                fmt::format("'{}' is {}; a file with saved memory is needed", path, what));
  }
  return SavedFile{std::move(file), Version::of(status)};
}

SavedFile::Version SavedFile::Version::of(const struct stat& status) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  return {status.st_dev, status.st_ino,
          static_cast<std::uint64_t>(status.st_mtim.tv_sec) * kSecond +
              static_cast<std::uint64_t>(status.st_mtim.tv_nsec),
          static_cast<std::uint64_t>(status.st_size)};
}

std::size_t SavedFile::read(std::uint64_t offset, std::span<std::byte> to) const {
  std::size_t done = 0;
  while (done < to.size() && offset < kGpaLimit - done) {
    const ssize_t count =
        ::pread(file_.get(), to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      break;
    }
  }
  return done;
}

} // namespace vmemfs
