// SPDX-License-Identifier: MIT
// A file with saved memory, read by offset.
//
// It is never mapped: a file that is cut while it is in use would then end the program with SIGBUS.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <sys/stat.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace vmemfs {

/// Thread-safe.
class SavedFile {
public:
  /// Which file it is, and which content it has, as far as the system tells.
  struct Version {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t modified_ns = 0; ///< since 1970
    std::uint64_t size = 0;

    static Version of(const struct stat& status);
    friend bool operator==(const Version&, const Version&) = default;
  };

  /// A regular file that is not empty.
  static Result<SavedFile> open(const std::string& path);
  /// One that is open already and has this size.
  static SavedFile adopt(UniqueFd file, std::uint64_t size) {
    return SavedFile{std::move(file), Version{.size = size}};
  }

  [[nodiscard]] std::uint64_t size() const { return version_.size; } ///< when it was opened
  [[nodiscard]] const Version& version() const { return version_; }  ///< the same

  /// Another regular file of the directory that the file was opened in. A symbolic link there is not
  /// followed: somebody else may write the directory.
  [[nodiscard]] Result<SavedFile> sibling(const std::string& name) const;
  /// Names of the other files there that are neither hidden nor links, sorted; at most `max`. None, if the
  /// file was adopted or the directory cannot be listed.
  [[nodiscard]] std::vector<std::string> siblings(std::size_t max) const;
  [[nodiscard]] const std::string& path() const { return path_; } ///< empty if it was adopted

  /// Reads as much of `to` as the file has from `offset` on; returns the number of bytes.
  [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<std::byte> to) const;

  /// A structure of the file's format; nullopt: the file ends before its end.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> read_as(std::uint64_t offset) const {
    T value{};
    const auto bytes = std::as_writable_bytes(std::span{&value, 1});
    return read(offset, bytes) == bytes.size() ? std::optional{value} : std::nullopt;
  }

private:
  SavedFile(UniqueFd file, const Version& version) : file_{std::move(file)}, version_{version} {}
  static Result<SavedFile> open(const std::string& path, int flags);

  UniqueFd file_;
  std::string path_{};
  Version version_;
};

} // namespace vmemfs
