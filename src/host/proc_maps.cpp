// SPDX-License-Identifier: MIT
#include "host/proc_maps.h"

#include "core/text.h"
#include "host/process.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";

/// Takes fields from the start of a line.
class Cursor {
public:
  explicit Cursor(std::string_view rest) : rest_{rest} {}

  /// A number and the character that must follow it.
  template <typename T> bool number(T& value, int base, char terminator) {
    const char* const end = rest_.data() + rest_.size();
    const auto [stop, error] = std::from_chars(rest_.data(), end, value, base);
    if (error != std::errc{} || stop == end || *stop != terminator) {
      return false;
    }
    rest_.remove_prefix(static_cast<std::size_t>(stop - rest_.data()) + 1);
    return true;
  }

  /// One of two characters; `flag` is set if it is the first.
  bool flag(bool& flag, char yes, char no) {
    if (rest_.empty() || (rest_.front() != yes && rest_.front() != no)) {
      return false;
    }
    flag = rest_.front() == yes;
    rest_.remove_prefix(1);
    return true;
  }

  bool blank() {
    bool ignored = false;
    return flag(ignored, ' ', ' ');
  }

  [[nodiscard]] std::string_view rest() const { return rest_; }

private:
  std::string_view rest_;
};

/// "BEGIN-END PERMS OFFSET MAJOR:MINOR INODE  PATH"; the path is padded on the left.
std::optional<Vma> parse_line(std::string_view line) {
  Cursor cursor{line};
  Vma vma;
  const bool ok = cursor.number(vma.range.begin, 16, '-') && cursor.number(vma.range.end, 16, ' ') &&
                  cursor.flag(vma.readable, 'r', '-') && cursor.flag(vma.writable, 'w', '-') &&
                  cursor.flag(vma.executable, 'x', '-') && cursor.flag(vma.shared, 's', 'p') &&
                  cursor.blank() && cursor.number(vma.file_offset, 16, ' ') &&
                  cursor.number(vma.device_major, 16, ':') && cursor.number(vma.device_minor, 16, ' ') &&
                  cursor.number(vma.inode, 10, ' ');
  if (!ok || vma.range.empty()) {
    return std::nullopt;
  }
  const std::string_view path = cursor.rest();
  vma.path = path.substr(std::min(path.find_first_not_of(' '), path.size()));
  return vma;
}

} // namespace

Result<std::vector<Vma>> parse_maps(std::string_view text) {
  std::vector<Vma> maps;
  for (const std::string_view line : split(text, '\n')) {
    auto vma = parse_line(line);
    if (!vma || (!maps.empty() && vma->range.begin < maps.back().range.end)) {
      return fail(ErrorKind::invalid, kOrigin, fmt::format("malformed maps line: {}", printable(line)));
    }
    maps.push_back(std::move(*vma));
  }
  return maps;
}

Result<std::vector<Vma>> read_maps(const ProcessSpace& space) {
  const auto text = read_proc_file(fmt::format("/proc/{}/maps", space.pid()));
  if (!text && text.error().kind == ErrorKind::permission) {
    return fail(ErrorKind::permission, kOrigin, text.error().text + "; " + access_remedy(space.pid()));
  }
  if (auto current = space.check_current(); !current) {
    return tl::unexpected{current.error()};
  }
  return text.and_then([](const std::string& maps) { return parse_maps(maps); });
}

Result<std::vector<Vma>> read_own_maps() {
  return read_proc_file("/proc/self/maps").and_then([](const std::string& maps) { return parse_maps(maps); });
}

const Vma* find_vma(const std::vector<Vma>& maps, Hva hva) {
  const auto after = std::upper_bound(maps.begin(), maps.end(), hva,
                                      [](Hva at, const Vma& vma) { return at < vma.range.begin; });
  if (after == maps.begin() || !std::prev(after)->range.contains(hva)) {
    return nullptr;
  }
  return &*std::prev(after);
}

} // namespace vmemfs
