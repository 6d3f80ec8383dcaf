// SPDX-License-Identifier: MIT
// Discovery of saved memory in a directory: each regular file is a VM, named as the file.
//
// Left out are hidden files, symbolic links, directories and whatever is not a regular file. The kernel
// reports changes (inotify(7)); a directory where it does not, such as one that other hosts write too, is
// seen by its time of modification.
#pragma once

#include "driver/discovery.h"
#include "drivers/dump/directory/watched_file.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Not thread-safe.
class DumpDirectory final : public Discovery {
public:
  /// Max number of files that are shown, of a directory's entries that are looked at, and of reported names
  /// that are kept until the next scan.
  static constexpr std::size_t kMaxFiles = 1024;
  static constexpr std::size_t kMaxEntries = std::size_t{1} << 16;

  /// `format`: as of DumpDriver::open(), for all files.
  DumpDirectory(const std::string& path, std::string format, std::shared_ptr<WatchedFiles> files);

  void begin(std::chrono::steady_clock::time_point patience) override { patience_ = patience; }
  Result<std::vector<FoundVm>> scan() override;

private:
  using Clock = std::chrono::steady_clock;

  struct Entry {
    SavedFile::Version version{};
    std::uint32_t user = 0;
    Clock::time_point since{};           ///< it has this version
    std::shared_ptr<WatchedFile> file{}; ///< null: somebody may still write it
  };
  using Entries = std::map<std::string, Entry>; ///< by their name

  [[nodiscard]] Result<std::vector<FoundVm>> look();
  Result<void> open_again();
  [[nodiscard]] bool take_events();
  [[nodiscard]] Result<Entries> list();
  void update(Entries seen);
  [[nodiscard]] bool is_settled(const std::string& name, const Entry& entry) const;
  [[nodiscard]] std::vector<FoundVm> make_list() const;
  [[nodiscard]] std::string path_of(std::string_view name) const;

  const std::string path_;
  const std::string format_;
  const std::shared_ptr<WatchedFiles> files_;
  UniqueFd directory_;
  UniqueFd events_;             ///< of inotify; none: the kernel reports nothing
  SavedFile::Version version_;  ///< of the directory, when it was listed
  std::set<std::string> whole_; ///< names whose file was closed or moved here since it was listed
  bool unsettled_ = true;
  Clock::time_point patience_{}; ///< how long the first scan may wait for files to be complete
  bool reported_full_ = false;
  Entries entries_;
  std::vector<FoundVm> found_; ///< those of `entries_`
};

} // namespace vmemfs
