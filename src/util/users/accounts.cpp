// SPDX-License-Identifier: MIT
#include "util/users/accounts.h"

#include "core/text.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <fstream>
#include <grp.h>
#include <iterator>
#include <limits>
#include <pwd.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";
constexpr std::string_view kUids = "Uid:"; ///< in /proc/PID/status; no name can begin a line of it
constexpr std::size_t kUidCount = 3;       ///< real, effective, saved; the fourth is for file systems

/// The greatest number means "no change" in chown(2) and the like.
constexpr std::uint64_t kGreatest = std::numeric_limits<uid_t>::max() - 1;

std::optional<uid_t> by_number(std::string_view text) {
  const auto number = parse_u64(text);
  return number && *number <= kGreatest ? std::optional{static_cast<uid_t>(*number)} : std::nullopt;
}

/// Calls getpwnam_r or getgrnam_r with a buffer as large as the entry needs.
template <typename Entry, typename Lookup>
std::optional<Entry> look_up(std::string_view name, Lookup lookup) {
  constexpr std::size_t kMaxBuffer = std::size_t{1} << 20U;
  Entry entry{};
  Entry* found = nullptr;
  for (std::vector<char> buffer(1024); buffer.size() <= kMaxBuffer; buffer.resize(buffer.size() * 2)) {
    if (lookup(std::string{name}.c_str(), &entry, buffer.data(), buffer.size(), &found) != ERANGE) {
      break;
    }
  }
  return found != nullptr ? std::optional{entry} : std::nullopt;
}

} // namespace

std::optional<uid_t> find_user(std::string_view text) {
  if (const auto number = by_number(text)) {
    return number;
  }
  const auto entry = look_up<passwd>(text, ::getpwnam_r);
  return entry ? std::optional{entry->pw_uid} : std::nullopt;
}

std::optional<gid_t> find_group(std::string_view text) {
  if (const auto number = by_number(text)) {
    return number;
  }
  const auto entry = look_up<group>(text, ::getgrnam_r);
  return entry ? std::optional{entry->gr_gid} : std::nullopt;
}

bool is_own_or_root(uid_t user) { return user == 0 || user == ::geteuid(); }

Result<uid_t> process_owner(pid_t pid) {
  std::ifstream file{fmt::format("/proc/{}/status", pid)};
  const std::string status{std::istreambuf_iterator<char>{file}, {}};
  if (status.empty()) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no process {}", pid));
  }
  return parse_process_owner(status);
}

Result<uid_t> parse_process_owner(std::string_view status) {
  for (const std::string_view line : split(status, '\n')) {
    if (!line.starts_with(kUids)) {
      continue;
    }
    const auto fields = split(trim(line.substr(kUids.size())), '\t');
    if (fields.size() < kUidCount) {
      break;
    }
    uid_t owner = 0;
    for (std::size_t i = 0; i < kUidCount && owner == 0; ++i) {
      const auto uid = parse_u64(fields[i]);
      if (!uid || *uid > ~uid_t{0}) {
        return fail(ErrorKind::invalid, kOrigin, "malformed Uid line in /proc/PID/status");
      }
      owner = static_cast<uid_t>(*uid);
    }
    return owner;
  }
  return fail(ErrorKind::invalid, kOrigin, "no Uid line in /proc/PID/status");
}

} // namespace vmemfs
