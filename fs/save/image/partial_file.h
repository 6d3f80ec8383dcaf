// SPDX-License-Identifier: MIT
// A file that gets its name only when it is complete.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <string>
#include <string_view>

namespace vmemfs {

inline constexpr std::string_view kPartialSuffix = ".partial";

enum class Overwrite : unsigned char { no, yes };

/// Is written as NAME.partial beside NAME, with mode 0600. Unless it is published, it is removed at the end.
/// A file that somebody else has put in its place is neither published nor removed.
class PartialFile {
public:
  /// Fails if there is a NAME.partial; or a NAME, unless it may be overwritten.
  [[nodiscard]] static Result<PartialFile> create(const std::string& path, Overwrite overwrite);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; } ///< of NAME
  [[nodiscard]] std::string partial_path() const { return path_ + std::string{kPartialSuffix}; }

  /// Flushes the bytes to the disk.
  [[nodiscard]] Result<void> sync() const;
  /// Gives it its name, for good; on failure there is no file. After sync().
  [[nodiscard]] Result<void> publish();
  /// Removes it again although it was published.
  void withdraw();

private:
  PartialFile(std::string path, UniqueFd directory, UniqueFd fd, Overwrite overwrite);
  [[nodiscard]] Result<void> rename() const;
  [[nodiscard]] bool is_ours(const std::string& name) const;
  [[nodiscard]] Result<void> check_ours(const std::string& name) const;
  void remove(const std::string& name) const; ///< if it is ours

  std::string path_;
  std::string name_; ///< in its directory
  UniqueFd directory_;
  UniqueFd fd_;
  Overwrite overwrite_;
  bool published_ = false;
};

/// The failure of a write to `path`, with the remedy if the disk is full.
[[nodiscard]] tl::unexpected<Error> write_failure(int os_errno, const std::string& path);

/// Fails if the file system of `file` has less than `bytes` free; the text has both numbers.
[[nodiscard]] Result<void> check_free_space(const PartialFile& file, std::uint64_t bytes);

} // namespace vmemfs
