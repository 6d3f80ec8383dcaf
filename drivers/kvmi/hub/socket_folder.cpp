// SPDX-License-Identifier: MIT
#include "drivers/kvmi/hub/socket_folder.h"

#include "core/text.h"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

Result<void> check_folder(const std::filesystem::path& folder, const std::string& path) {
  struct stat info {};
  if (::lstat(folder.c_str(), &info) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot listen at '{}'", printable(path)));
  }
  if (info.st_uid != 0 && info.st_uid != ::geteuid()) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("cannot listen at '{}': '{}' belongs to user {}, who could replace the socket; "
                            "take a folder of your own",
                            printable(path), printable(folder.string()), info.st_uid));
  }
  // In a sticky folder, such as /tmp, only the owner of a file may replace it.
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (info.st_mode & S_ISVTX) == 0) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("cannot listen at '{}': other users may write to '{}' and could replace the "
                            "socket; take a folder of your own, or run chmod go-w",
                            printable(path), printable(folder.string())));
  }
  return {};
}

} // namespace

Result<std::string> safe_socket_path(const std::string& path) {
  const std::filesystem::path given = std::filesystem::path{path};
  std::error_code why;
  const auto real = std::filesystem::canonical(
      given.has_parent_path() ? given.parent_path() : std::filesystem::path{"."}, why);
  if (why) {
    return fail_errno(why.value(), kOrigin, fmt::format("cannot listen at '{}'", printable(path)));
  }
  for (auto folder = real;; folder = folder.parent_path()) {
    if (auto checked = check_folder(folder, path); !checked) {
      return tl::unexpected{std::move(checked.error())};
    }
    if (folder == folder.parent_path()) {
      return (real / given.filename()).string();
    }
  }
}

} // namespace vmemfs::kvmi
