// SPDX-License-Identifier: MIT
#include "util/users/trusted_file.h"

#include "core/text.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <fmt/format.h>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "settings";
constexpr mode_t kByOthers = S_IWGRP | S_IWOTH;

tl::unexpected<Error> failed(int os_errno) {
  return fail(kind_of_errno(os_errno), kOrigin, std::generic_category().message(os_errno));
}

/// A descriptor that only names the file: nothing is opened by it.
UniqueFd named(const std::string& path) { return UniqueFd{::open(path.c_str(), O_PATH | O_CLOEXEC)}; }

std::string link_of(const UniqueFd& name) { return fmt::format("/proc/self/fd/{}", name.get()); }

Result<std::string> read_regular(const UniqueFd& name) {
  struct stat status {};
  if (::fstat(name.get(), &status) != 0) {
    return failed(errno);
  }
  if (S_ISDIR(status.st_mode)) {
    return failed(EISDIR);
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::invalid, kOrigin, "it is not a regular file; name one, not a device or a FIFO");
  }
  const UniqueFd file{::open(link_of(name).c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) {
    return failed(errno);
  }
  std::string text(kMaxSettingsBytes + 1, '\0');
  std::size_t size = 0;
  ssize_t got = 0;
  do {
    got = ::read(file.get(), text.data() + size, text.size() - size);
    size += got > 0 ? static_cast<std::size_t>(got) : 0;
  } while ((got > 0 && size < text.size()) || (got < 0 && errno == EINTR));
  if (got < 0) {
    return failed(errno);
  }
  if (size > kMaxSettingsBytes) {
    return failed(EFBIG);
  }
  text.resize(size);
  return text;
}

/// `status`: of `path` itself, if it is a symbolic link.
Result<void> check_trust(const std::string& path, const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    const uid_t user = ::geteuid();
    return fail(ErrorKind::not_permitted, kOrigin,
                fmt::format("'{}' belongs to uid {}, not to {}; give it to that user", printable(path),
                            status.st_uid, user == 0 ? "root" : fmt::format("root or uid {}", user)));
  }
  const bool is_shared = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  if (!S_ISLNK(status.st_mode) && !is_shared && (status.st_mode & kByOthers) != 0) {
    return fail(ErrorKind::not_permitted, kOrigin,
                fmt::format("'{}' is writable by its group or by others; run chmod go-w '{}'",
                            printable(path), printable(path)));
  }
  return {};
}

/// Of the file and of all directories above it.
Result<void> check_path(const std::string& path) {
  for (std::size_t end = 1; end != std::string::npos;) {
    const std::string part = path.substr(0, end);
    struct stat status {};
    if (::lstat(part.c_str(), &status) != 0) {
      return failed(errno);
    }
    if (auto trusted = check_trust(part, status); !trusted) {
      return trusted;
    }
    const std::size_t next = end < path.size() ? path.find('/', end + 1) : std::string::npos;
    end = next != std::string::npos ? next : end < path.size() ? path.size() : std::string::npos;
  }
  return {};
}

/// Its path without symbolic links; empty if it cannot be known.
std::string real_path(const UniqueFd& name) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlink(link_of(name).c_str(), text.data(), text.size());
  return size > 0 ? std::string{text.data(), static_cast<std::size_t>(size)} : std::string{};
}

} // namespace

Result<std::string> read_settings(const std::string& path) {
  const UniqueFd name = named(path);
  return name ? read_regular(name) : failed(errno);
}

Result<std::string> read_trusted_settings(const std::string& path) {
  // The descriptor comes first: what is checked afterwards leads to this file or to none.
  const UniqueFd name = named(path);
  if (!name) {
    return failed(errno);
  }
  return check_path(path).and_then([&] { return check_path(real_path(name)); }).and_then([&] {
    return read_regular(name);
  });
}

} // namespace vmemfs
