// SPDX-License-Identifier: MIT
#include "util/accounts.h"

#include "core/text.h"

#include <cerrno>
#include <cstdint>
#include <grp.h>
#include <limits>
#include <pwd.h>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

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

} // namespace vmemfs
