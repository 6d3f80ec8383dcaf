// SPDX-License-Identifier: MIT
#include "drivers/dump/directory/dump_directory.h"

#include "core/text.h"
#include "driver/param_text.h"
#include "util/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <tuple>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

/// A file that nobody has reported as closed counts as whole when it has not changed for so long.
constexpr std::chrono::seconds kSettled{2};
constexpr std::chrono::milliseconds kBetweenLooks{100};
/// Of events that are taken at a scan; those after them wait for the next one.
constexpr std::size_t kMaxReads = 64;

constexpr std::uint32_t kEvents = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE |
                                  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

/// Each VM of a file has a descriptor; other VMs need some, too.
std::size_t max_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::clamp<rlim_t>(limit.rlim_cur / 4, 16, DumpDirectory::kMaxFiles);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/// nullptr: there is none.
const dirent* next_entry(DIR* listing) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe, as no other thread has this directory stream
  return ::readdir(listing);
}

} // namespace

DumpDirectory::DumpDirectory(const std::string& path, std::string format, std::shared_ptr<WatchedFiles> files)
    : path_{std::filesystem::absolute(path).lexically_normal()}, format_{std::move(format)},
      files_{std::move(files)} {}

/// Somebody who lists a directory once would not see what was written just before. A mount, which has less
/// patience, looks again anyway.
Result<std::vector<FoundVm>> DumpDirectory::scan() {
  auto found = look();
  const bool looks_once = std::exchange(patience_, {}) - Clock::now() > 3 * kSettled;
  const auto until = Clock::now() + kSettled + kBetweenLooks;
  while (found && unsettled_ && looks_once && Clock::now() < until) {
    std::this_thread::sleep_for(kBetweenLooks);
    found = look();
  }
  return found;
}

Result<std::vector<FoundVm>> DumpDirectory::look() {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    return fail_errno(errno, "dump", fmt::format("cannot find the directory '{}'", printable(path_)));
  }
  const SavedFile::Version now = SavedFile::Version::of(status);
  if (!directory_ || now.device != version_.device || now.inode != version_.inode) {
    if (auto opened = open_again(); !opened) {
      return tl::unexpected{std::move(opened.error())};
    }
  }
  const bool reported = take_events();
  if (reported || unsettled_ || now != version_) {
    auto seen = list();
    if (!seen) {
      return tl::unexpected{std::move(seen.error())};
    }
    version_ = now;
    update(std::move(*seen));
    found_ = make_list();
  }
  return found_;
}

Result<void> DumpDirectory::open_again() {
  directory_ = UniqueFd{::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory_) {
    return fail_errno(errno, "dump", fmt::format("cannot open the directory '{}'", printable(path_)));
  }
  // Without it, which takes one of a limited number, changes are seen by the directory's time.
  events_ = UniqueFd{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
  if (events_ && ::inotify_add_watch(events_.get(), fmt::format("/proc/self/fd/{}", directory_.get()).c_str(),
                                     kEvents) < 0) {
    events_.reset();
  }
  unsettled_ = true;
  return {};
}

/// Whether there were any.
bool DumpDirectory::take_events() {
  bool any = false;
  alignas(inotify_event) std::array<std::byte, 16384> buffer{};
  for (std::size_t reads = 0; events_ && reads < kMaxReads; ++reads) {
    const ssize_t count = ::read(events_.get(), buffer.data(), buffer.size());
    if (count <= 0) {
      break;
    }
    any = true;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(count);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const name = reinterpret_cast<const char*>(buffer.data()) + at + sizeof event;
      if ((event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0 && event.len > 0 &&
          whole_.size() < kMaxEntries) {
        whole_.emplace(name, ::strnlen(name, event.len));
      }
      at += sizeof event + event.len;
    }
  }
  return any;
}

Result<DumpDirectory::Entries> DumpDirectory::list() {
  const int copy = ::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDirectory> listing{copy >= 0 ? ::fdopendir(copy) : nullptr};
  if (!listing) {
    return fail_errno(errno, "dump", fmt::format("cannot list the directory '{}'", printable(path_)));
  }
  Entries entries;
  std::size_t read = 0;
  const std::size_t limit = max_files();
  while (const dirent* const entry = next_entry(listing.get())) {
    const std::string name{static_cast<const char*>(entry->d_name)};
    struct stat status {};
    if (++read > kMaxEntries || entries.size() == limit) {
      if (!std::exchange(reported_full_, true)) {
        log::warning("dump: '{}' has more than {} files, or than {} entries; the rest is not shown",
                     printable(path_), limit, kMaxEntries);
      }
      break;
    }
    const bool may_be_file = entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN;
    if (!may_be_file || name.starts_with('.') ||
        ::fstatat(directory_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(status.st_mode)) {
      continue;
    }
    entries.emplace(name, Entry{.version = SavedFile::Version::of(status), .user = status.st_uid});
  }
  return entries;
}

/// Takes what was listed for what is there.
void DumpDirectory::update(Entries seen) {
  const auto now = Clock::now();
  unsettled_ = false;
  for (auto& [name, entry] : seen) {
    entry.since = now;
    const auto known = entries_.find(name);
    if (known != entries_.end() && known->second.version == entry.version) {
      entry.since = known->second.since;
      entry.file = std::move(known->second.file);
    }
    if (entry.file == nullptr && is_settled(name, entry)) {
      entry.file = files_->add(path_of(name), entry.version);
    }
    unsettled_ = unsettled_ || entry.file == nullptr;
  }
  whole_.clear();
  entries_.swap(seen);
  for (const auto& [name, entry] : seen) {
    if (entry.file != nullptr) { // it was not taken over
      files_->end(path_of(name), entry.file);
    }
  }
}

bool DumpDirectory::is_settled(const std::string& name, const Entry& entry) const {
  const auto modified = std::chrono::nanoseconds{static_cast<std::int64_t>(entry.version.modified_ns)};
  return whole_.contains(name) || Clock::now() - entry.since >= kSettled ||
         std::chrono::system_clock::now().time_since_epoch() - modified >= kSettled;
}

std::vector<FoundVm> DumpDirectory::make_list() const {
  std::vector<Entries::const_pointer> shown;
  for (const auto& entry : entries_) {
    if (entry.second.file != nullptr) {
      shown.push_back(&entry);
    }
  }
  std::ranges::sort(shown, {}, [](Entries::const_pointer entry) {
    return std::tuple{entry->second.version.modified_ns, std::string_view{entry->first}};
  });
  std::vector<FoundVm> vms;
  for (const auto* const entry : shown) {
    const auto& [name, file] = *entry;
    const std::vector<KeyValue> params{{"path", path_of(name)}, {"format", format_}};
    vms.push_back({.key = file.file->key(),
                   .name = name,
                   .uuid = {},
                   .number = fmt::format("{}", file.version.inode),
                   .params = format_pairs(params),
                   .owner = file.user});
  }
  return vms;
}

std::string DumpDirectory::path_of(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

} // namespace vmemfs
