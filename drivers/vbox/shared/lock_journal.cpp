// SPDX-License-Identifier: MIT
#include "drivers/vbox/shared/lock_journal.h"

#include "util/log.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <string_view>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs::vbox {
namespace {

constexpr const char* kDirectory = "/dev/shm";
/// Of the directory, which all users can fill.
constexpr int kMaxEntries = 100'000;

constexpr std::string_view kPrefix = "vmemfs-fdp-";

std::string prefix_of(const SharedObject::Id& object) {
  return fmt::format("{}{:x}-{:x}-", kPrefix, object.device, object.inode);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/// The phase that the file of a dead process has; removes that file. Of another object, only one that nobody
/// needs.
std::optional<LockJournal::Phase> take_over(int directory, const char* name, bool of_other_object) {
  const UniqueFd file{::openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_uid != ::geteuid() || status.st_nlink != 1 || (status.st_mode & 077U) != 0 ||
      ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return std::nullopt;
  }
  std::array<std::uint8_t, 1> phase{};
  // Who had the file lock before may have removed it.
  if (::pread(file.get(), phase.data(), 1, 0) != 1 || (of_other_object && phase[0] != 0) ||
      ::unlinkat(directory, name, 0) != 0 ||
      phase[0] > static_cast<std::uint8_t>(LockJournal::Phase::asked)) {
    return std::nullopt;
  }
  return static_cast<LockJournal::Phase>(phase[0]);
}

} // namespace

LockJournal::LockJournal(const SharedObject::Id& object) {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    return;
  }
  path_ = fmt::format("{}/{}{:016x}", kDirectory, prefix_of(object), random);
  file_.reset(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file_ || ::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    log::warning("vbox: cannot make '{}': {}; if vmemfs is killed, the general lock may stay taken", path_,
                 std::generic_category().message(errno));
    file_.reset();
    return;
  }
  set(Phase::idle);
}

LockJournal::~LockJournal() {
  if (file_) {
    ::unlink(path_.c_str());
  }
}

void LockJournal::set(Phase phase) const {
  const auto byte = static_cast<std::uint8_t>(phase);
  if (file_ && ::pwrite(file_.get(), &byte, 1, 0) != 1) {
    log::debug("vbox: cannot write '{}'", path_);
  }
}

std::optional<LockJournal::Phase> LockJournal::claim(const SharedObject::Id& object) {
  const std::unique_ptr<DIR, CloseDirectory> directory{::opendir(kDirectory)};
  const std::string prefix = prefix_of(object);
  std::optional<Phase> found;
  for (int i = 0; directory != nullptr && i < kMaxEntries; ++i) {
    const dirent* const entry =
        ::readdir(directory.get()); // NOLINT(concurrency-mt-unsafe): a directory of our own
    if (entry == nullptr) {
      break;
    }
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kPrefix)) {
      continue;
    }
    const auto phase = take_over(::dirfd(directory.get()), entry->d_name, !name.starts_with(prefix));
    if (phase && *phase != Phase::idle) { // that of another object is always idle
      found = phase;
    }
  }
  return found;
}

} // namespace vmemfs::vbox
