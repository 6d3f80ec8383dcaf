// SPDX-License-Identifier: MIT
#include "fs/daemon/mount_table.h"

#include "core/text.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <iterator>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

struct Entry {
  MountIdentity mount;
  int parent;
};

bool is_octal(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '7'; });
}

/// In the file, blank, tab, newline and backslash are escaped as \040, \011, \012, \134.
std::string unescaped(std::string_view text) {
  constexpr std::size_t kDigits = 3;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(i + 1, kDigits);
    if (text[i] == '\\' && digits.size() == kDigits && is_octal(digits)) {
      plain += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0'));
      i += kDigits;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Parses "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ... - TYPE ..."; nullopt unless the mount is on `path`.
std::optional<Entry> parse_entry(std::string_view line, std::string_view path) {
  const auto fields = split(line, ' ');
  if (fields.size() < 5 || unescaped(fields[4]) != path) {
    return std::nullopt;
  }
  const auto id = parse_u64(fields[0]);
  const auto parent = parse_u64(fields[1]);
  const auto separator = std::ranges::find(fields, "-");
  if (!id || !parent || std::ranges::distance(separator, fields.end()) < 2) {
    return std::nullopt;
  }
  return Entry{{static_cast<int>(*id), std::string{fields[2]}, std::string{*std::next(separator)}},
               static_cast<int>(*parent)};
}

std::vector<Entry> entries_on(std::string_view mountinfo, std::string_view path) {
  std::vector<Entry> there;
  for (const std::string_view line : split(mountinfo, '\n')) {
    if (auto entry = parse_entry(line, path)) {
      there.push_back(std::move(*entry));
    }
  }
  return there;
}

/// Reads the file from its start: the kernel then generates it again. Stops at the first error.
std::string whole_text(int fd) {
  constexpr std::size_t kChunk = 64 << 10;
  std::string text;
  ssize_t got = 0;
  do {
    const std::size_t size = text.size();
    text.resize(size + kChunk);
    got = ::pread(fd, text.data() + size, kChunk, static_cast<off_t>(size));
    text.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  } while (got > 0);
  return text;
}

} // namespace

std::optional<MountIdentity> find_mount(std::string_view mountinfo, std::string_view path) {
  const auto there = entries_on(mountinfo, path);
  // The order of the lines has no meaning; a mount on top of another one has it as its parent.
  const auto top = std::ranges::find_if(there, [&](const Entry& entry) {
    return std::ranges::find(there, entry.mount.id, &Entry::parent) == there.end();
  });
  return top == there.end() ? std::nullopt : std::optional{top->mount};
}

std::optional<std::string> enclosing_mount(std::string_view mountinfo, std::string_view path) {
  for (std::filesystem::path here{path}; !here.empty(); here = here.parent_path()) {
    if (find_mount(mountinfo, here.native())) {
      return here.string();
    }
    if (!here.has_relative_path()) { // "/" is its own parent
      break;
    }
  }
  return std::nullopt;
}

bool has_mount(std::string_view mountinfo, const MountIdentity& mount, std::string_view path) {
  const auto there = entries_on(mountinfo, path);
  return std::ranges::find(there, mount, &Entry::mount) != there.end();
}

Result<MountTable> MountTable::open() {
  UniqueFd file{::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)};
  if (!file) {
    return fail_errno(errno, "mount", "cannot open /proc/self/mountinfo; check that /proc is mounted");
  }
  return MountTable{std::move(file)};
}

std::optional<MountIdentity> MountTable::mounted_on(std::string_view path) const {
  return find_mount(whole_text(file_.get()), path);
}

std::optional<std::string> MountTable::enclosing(std::string_view path) const {
  return enclosing_mount(whole_text(file_.get()), path);
}

bool MountTable::has(const MountIdentity& mount, std::string_view path) const {
  return has_mount(whole_text(file_.get()), mount, path);
}

} // namespace vmemfs
