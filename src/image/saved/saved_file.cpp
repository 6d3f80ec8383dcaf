// SPDX-License-Identifier: MIT
#include "image/saved/saved_file.h"

#include "core/gpa.h"
#include "core/text.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace vmemfs {

Result<SavedFile> SavedFile::open(const std::string& path) { return open(path, 0); }

Result<SavedFile> SavedFile::open(const std::string& path, int flags) {
  // O_NONBLOCK so that naming a FIFO by mistake is an error and not a wait.
  UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags)};
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
  SavedFile opened{std::move(file), Version::of(status)};
  opened.path_ = path;
  return opened;
}

Result<SavedFile> SavedFile::sibling(const std::string& name) const {
  if (path_.empty() || name.empty() || name.find('/') != std::string::npos) {
    return fail(ErrorKind::not_found, "dump",
                fmt::format("there is no file '{}' beside it", printable(name)));
  }
  return open(std::filesystem::path{path_}.replace_filename(name), O_NOFOLLOW);
}

std::vector<std::string> SavedFile::siblings(std::size_t max) const {
  constexpr std::size_t kMaxEntries = 65536;
  std::vector<std::string> names;
  if (path_.empty()) {
    return names;
  }
  const std::filesystem::path path{path_};
  std::error_code error;
  std::filesystem::directory_iterator entry{path.has_parent_path() ? path.parent_path() : ".", error};
  for (std::size_t seen = 0; !error && entry != std::filesystem::directory_iterator{} && seen < kMaxEntries;
       ++seen, entry.increment(error)) {
    std::string name = entry->path().filename();
    std::error_code unknown; // it was removed meanwhile
    if (!name.starts_with('.') && name != path.filename() &&
        entry->symlink_status(unknown).type() == std::filesystem::file_type::regular) {
      names.push_back(std::move(name));
    }
  }
  std::ranges::sort(names);
  names.resize(std::min(names.size(), max));
  return names;
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
