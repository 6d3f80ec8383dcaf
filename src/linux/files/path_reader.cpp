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

std::optional<std::string> PathReader::path(FilePath file) const {
  std::string path;
  auto [mount, dentry] = file;
  const auto first_root = memory_.value<std::uint64_t>(mount + layout_.root);
  const bool deleted = dentry != first_root && is_deleted(dentry);
  for (unsigned step = 0; step < kMaxSteps && path.size() <= kMaxBytes; ++step) {
    const std::uint64_t outer = mount - layout_.inner;
    const auto root = memory_.value<std::uint64_t>(mount + layout_.root);
    const auto parent_mount = memory_.value<std::uint64_t>(outer + layout_.mount_parent);
    const auto parent = memory_.value<std::uint64_t>(dentry + layout_.parent);
    if (!root || !parent_mount || !parent) {
      return std::nullopt;
    }
    if (dentry == *root && *parent_mount != outer) {
      const auto mountpoint = memory_.value<std::uint64_t>(outer + layout_.mountpoint);
      if (!mountpoint) {
        return std::nullopt;
      }
      dentry = *mountpoint;
      mount = *parent_mount + layout_.inner;
      continue;
    }
    if (dentry == *root) {
      path = path.empty() ? "/" : path;
      return deleted ? path + " (deleted)" : path;
    }
    const auto component = name(dentry);
    if (!component) {
      return std::nullopt;
    }
    put_before(path, *component);
    if (dentry == *parent) { // a file that never had a directory, such as that of memfd_create(2)
      return path + " (deleted)";
    }
    dentry = *parent;
  }
  return std::nullopt;
}

} // namespace vmemfs
