// SPDX-License-Identifier: MIT
#include "linux/files/path_reader.h"

#include "linux/structures/member_offsets.h"

#include <cstddef>
#include <span>
#include <string_view>

namespace vmemfs {
namespace {

/// Max bytes of a name, as NAME_MAX of Linux; those of files without a directory may be longer.
constexpr std::uint32_t kMaxName = 512;

void put_before(std::string& path, std::string_view name) {
  path.insert(0, name);
  path.insert(0, 1, '/');
}

} // namespace

Result<PathReader> PathReader::create(KernelMemory& memory, const btf::Types& types) {
  constexpr std::uint64_t kLength = 4;
  MemberOffsets offsets{types};
  Layout layout{.parent = offsets.offset("dentry", "d_parent"),
                .name = offsets.offset("dentry", "d_name.name"),
                .name_length = offsets.offset("dentry", "d_name.len", kLength),
                .hash = offsets.offset("dentry", "d_hash.pprev"),
                .root = offsets.offset("vfsmount", "mnt_root"),
                .inner = offsets.offset("mount", "mnt", offsets.size("vfsmount")),
                .mount_parent = offsets.offset("mount", "mnt_parent"),
                .mountpoint = offsets.offset("mount", "mnt_mountpoint")};
  if (auto checked = offsets.check(); !checked) {
    return tl::unexpected{checked.error()};
  }
  return PathReader{memory, layout};
}

std::optional<std::string> PathReader::name(std::uint64_t dentry) const {
  const auto address = memory_.value<std::uint64_t>(dentry + layout_.name);
  const auto length = memory_.value<std::uint32_t>(dentry + layout_.name_length);
  if (!address || !length || *length == 0 || *length > kMaxName) {
    return std::nullopt;
  }
  std::string text(*length + 1, '\0');
  if (memory_.read(*address, std::as_writable_bytes(std::span{text})) != text.size() ||
      text.find('\0') != *length || text.find('/') != std::string::npos) {
    return std::nullopt;
  }
  text.pop_back();
  return text;
}

bool PathReader::is_deleted(std::uint64_t dentry) const {
  return memory_.value<std::uint64_t>(dentry + layout_.hash) == std::uint64_t{0};
}

std::optional<std::string> PathReader::way_up(FilePath file, const FilePath* root) const {
  std::string path;
  for (unsigned step = 0; step < kMaxSteps && path.size() <= kMaxBytes; ++step) {
    if (root != nullptr && file == *root) {
      return path.empty() ? "/" : path;
    }
    const std::uint64_t outer = file.mount - layout_.inner;
    const auto mount_root = memory_.value<std::uint64_t>(file.mount + layout_.root);
    const auto parent_mount = memory_.value<std::uint64_t>(outer + layout_.mount_parent);
    const auto parent = memory_.value<std::uint64_t>(file.dentry + layout_.parent);
    if (!mount_root || !parent_mount || !parent) {
      return std::nullopt;
    }
    if (file.dentry == *mount_root && *parent_mount != outer) {
      const auto mountpoint = memory_.value<std::uint64_t>(outer + layout_.mountpoint);
      if (!mountpoint) {
        return std::nullopt;
      }
      file = {.mount = *parent_mount + layout_.inner, .dentry = *mountpoint};
      continue;
    }
    if (file.dentry == *mount_root) {
      return root != nullptr ? std::string{} : (path.empty() ? "/" : path);
    }
    const auto component = name(file.dentry);
    if (!component) {
      return std::nullopt;
    }
    put_before(path, *component);
    if (file.dentry == *parent) { // a file that never had a directory, such as that of memfd_create(2)
      return root != nullptr ? std::string{} : path;
    }
    file.dentry = *parent;
  }
  return std::nullopt;
}

std::optional<std::string> PathReader::path(FilePath file) const {
  const auto root = memory_.value<std::uint64_t>(file.mount + layout_.root);
  const bool deleted = file.dentry != root && is_deleted(file.dentry);
  auto path = way_up(file, nullptr);
  if (path && deleted) {
    *path += " (deleted)";
  }
  return path;
}

std::optional<std::string> PathReader::path_below(FilePath root, FilePath file) const {
  return way_up(file, &root);
}

std::optional<std::string> PathReader::path_in_filesystem(std::uint64_t dentry) const {
  std::string path;
  const std::uint64_t begin = dentry;
  for (unsigned step = 0; step < kMaxSteps && path.size() <= kMaxBytes; ++step) {
    const auto parent = memory_.value<std::uint64_t>(dentry + layout_.parent);
    if (!parent) {
      return std::nullopt;
    }
    if (dentry == *parent) {
      path = path.empty() ? "/" : path;
      return dentry != begin && is_deleted(begin) ? path + "//deleted" : path;
    }
    const auto component = name(dentry);
    if (!component) {
      return std::nullopt;
    }
    put_before(path, *component);
    dentry = *parent;
  }
  return std::nullopt;
}

} // namespace vmemfs
