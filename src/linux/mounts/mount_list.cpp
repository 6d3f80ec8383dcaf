// SPDX-License-Identifier: MIT
#include "linux/mounts/mount_list.h"

#include "core/text.h"
#include "linux/files/path_reader.h"
#include "linux/mounts/mount_layout.h"
#include "linux/mounts/mount_walk.h"
#include "linux/structures/kernel_string.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr unsigned kAttempts = 3;
constexpr std::size_t kMaxBytes = std::size_t{16} << 20U; ///< of all rows
constexpr std::size_t kMaxType = 64;                      ///< of the name of a type; real ones have up to 15
constexpr std::size_t kMaxSource = 4096;                  ///< as the kernel has it
constexpr std::string_view kNone = "-";
constexpr std::string_view kUnreadable = "?";

struct Flag {
  std::uint64_t bit;
  std::string_view name;
};
constexpr std::uint32_t kMountReadOnly = 0x40;
constexpr std::uint64_t kFilesystemReadOnly = 0x1;
/// In the order of the kernel.
constexpr std::array<Flag, 4> kFilesystemFlags{
    {{0x10, "sync"}, {0x80, "dirsync"}, {0x40, "mand"}, {0x200'0000, "lazytime"}}};
constexpr std::array<Flag, 7> kMountFlags{{{0x01, "nosuid"},
                                           {0x02, "nodev"},
                                           {0x04, "noexec"},
                                           {0x08, "noatime"},
                                           {0x10, "nodiratime"},
                                           {0x20, "relatime"},
                                           {0x80, "nosymfollow"}}};

template <typename Flags> void add_flags(std::string& text, std::uint64_t set, const Flags& flags) {
  for (const Flag& flag : flags) {
    if ((set & flag.bit) != 0) {
      text += ',';
      text += flag.name;
    }
  }
}

std::string options(std::uint32_t mount_flags, std::uint64_t filesystem_flags) {
  const bool is_read_only =
      (mount_flags & kMountReadOnly) != 0 || (filesystem_flags & kFilesystemReadOnly) != 0;
  std::string text = is_read_only ? "ro" : "rw";
  add_flags(text, filesystem_flags, kFilesystemFlags);
  add_flags(text, mount_flags, kMountFlags);
  return text;
}

std::string shown(const std::optional<std::string>& text) {
  if (!text) {
    return std::string{kUnreadable};
  }
  return text->empty() ? std::string{kNone} : printable(*text, PathReader::kMaxBytes);
}

struct Rows {
  std::vector<std::string> rows;
  bool complete = false;
};

class MountReader {
public:
  MountReader(KernelMemory& memory, const MountLayout& layout, const PathReader& paths,
              std::uint64_t init_task)
      : memory_{memory}, layout_{layout}, paths_{paths}, init_task_{init_task} {}

  [[nodiscard]] Rows read() const {
    Rows found;
    const auto process = first_process();
    const auto name_space = process ? name_space_of(*process) : std::nullopt;
    const auto root = process ? root_of(*process) : std::nullopt;
    if (!name_space || !root) {
      return found;
    }
    std::size_t bytes = 0;
    const MountWalk::Visit add = [&](std::uint64_t address, const StructureCopy& mount) {
      const auto point = paths_.path_below(*root, {address + layout_.inner, mount.pointer(layout_.root)});
      if (point && point->empty()) {
        return true; // process 1 cannot see it
      }
      found.rows.push_back(row(mount, point));
      bytes += found.rows.back().size();
      return bytes <= kMaxBytes;
    };
    found.complete = MountWalk{memory_, layout_, *name_space, add}.run() && !found.rows.empty();
    return found;
  }

private:
  [[nodiscard]] std::optional<std::uint64_t> pointer(std::uint64_t address) const {
    const auto value = memory_.value<std::uint64_t>(address);
    return value != std::uint64_t{0} ? value : std::nullopt;
  }

  /// The list of processes is in the order of their begin.
  [[nodiscard]] std::optional<std::uint64_t> first_process() const {
    const auto next = pointer(init_task_ + layout_.task_tasks);
    const std::uint64_t task = next.value_or(0) - layout_.task_tasks;
    const bool is_first = next && memory_.value<std::uint32_t>(task + layout_.task_pid) == 1U &&
                          memory_.value<std::uint32_t>(task + layout_.task_tgid) == 1U;
    return is_first ? std::optional{task} : std::nullopt;
  }
  [[nodiscard]] std::optional<std::uint64_t> name_space_of(std::uint64_t task) const {
    const auto proxy = pointer(task + layout_.task_nsproxy);
    return proxy ? pointer(*proxy + layout_.nsproxy_mounts) : std::nullopt;
  }
  [[nodiscard]] std::optional<FilePath> root_of(std::uint64_t task) const {
    const auto fs = pointer(task + layout_.task_fs);
    const auto mount = fs ? pointer(*fs + layout_.fs_root_mount) : std::nullopt;
    const auto dentry = fs ? pointer(*fs + layout_.fs_root_dentry) : std::nullopt;
    return mount && dentry ? std::optional{FilePath{.mount = *mount, .dentry = *dentry}} : std::nullopt;
  }

  [[nodiscard]] std::string row(const StructureCopy& mount, const std::optional<std::string>& point) const {
    const std::uint64_t filesystem = mount.pointer(layout_.filesystem);
    const auto type = type_of(filesystem);
    const auto device = memory_.value<std::uint32_t>(filesystem + layout_.device);
    const auto parent = memory_.value<std::int32_t>(mount.pointer(layout_.parent) + layout_.id);
    const auto flags = memory_.value<std::uint64_t>(filesystem + layout_.filesystem_flags);
    const std::string unreadable{kUnreadable};
    return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", mount.number<std::int32_t>(layout_.id),
                       parent ? std::to_string(*parent) : unreadable,
                       device ? fmt::format("{}:{}", *device >> 20U, *device & 0xfffffU) : unreadable,
                       shown(root(mount, type)), shown(point), shown(type), shown(source(mount)),
                       flags ? options(mount.number<std::uint32_t>(layout_.flags), *flags) : unreadable);
  }

  /// With the name of what it is in FUSE behind a dot, as the kernel prints it.
  [[nodiscard]] std::optional<std::string> type_of(std::uint64_t filesystem) const {
    const auto type = pointer(filesystem + layout_.type);
    const auto name = type ? pointer(*type + layout_.type_name) : std::nullopt;
    const auto subtype = memory_.value<std::uint64_t>(filesystem + layout_.subtype);
    auto text = name ? kernel_string(memory_, *name, kMaxType) : std::nullopt;
    if (!text || !subtype || *subtype == 0) {
      return subtype ? text : std::nullopt;
    }
    const auto inner = kernel_string(memory_, *subtype, kMaxSource);
    return inner ? std::optional{inner->empty() ? *text : *text + "." + *inner} : std::nullopt;
  }

  /// The files of nsfs have names only in its code.
  [[nodiscard]] std::optional<std::string> root(const StructureCopy& mount,
                                                const std::optional<std::string>& type) const {
    return type == "nsfs" ? std::nullopt : paths_.path_in_filesystem(mount.pointer(layout_.root));
  }

  [[nodiscard]] std::optional<std::string> source(const StructureCopy& mount) const {
    const std::uint64_t address = mount.pointer(layout_.source);
    return address == 0 ? std::string{} : kernel_string(memory_, address, kMaxSource);
  }

  KernelMemory& memory_;
  const MountLayout& layout_;
  const PathReader& paths_;
  const std::uint64_t init_task_;
};

/// Those of `rows` that were there before too.
Rows same_rows(const Rows& before, Rows rows) {
  rows.complete = rows.complete && before.complete && rows.rows == before.rows;
  const std::unordered_set<std::string> known{before.rows.begin(), before.rows.end()};
  std::erase_if(rows.rows, [&](const std::string& row) { return !known.contains(row); });
  return rows;
}

Rows read_alike(const MountReader& reader) {
  Rows before = reader.read();
  Rows alike;
  for (unsigned attempt = 1; attempt < kAttempts && !alike.complete && !WorkLimit::over(); ++attempt) {
    Rows now = reader.read();
    alike = same_rows(before, now);
    before = std::move(now);
  }
  return alike;
}

} // namespace

Result<std::string> mount_list(const RunningKernel& kernel) {
  const auto layout = mount_layout(kernel.types);
  const auto paths = PathReader::create(kernel.memory, kernel.types);
  const auto init_task = kernel.idle_task();
  if (!layout || !paths) {
    return tl::unexpected{layout ? paths.error() : layout.error()};
  }
  if (!init_task) {
    return tl::unexpected{init_task.error()};
  }
  const Rows found = read_alike(MountReader{kernel.memory, *layout, *paths, *init_task});
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("linux");
  }
  std::string text = "ID\tPARENT\tDEVICE\tROOT\tMOUNTPOINT\tTYPE\tSOURCE\tOPTIONS\n";
  for (const std::string& row : found.rows) {
    text += row;
  }
  text += found.complete ? fmt::format("# complete: {} mounts of process 1\n", found.rows.size())
                         : fmt::format("# incomplete: {} mounts of process 1; the list changed while it was "
                                       "read, or is damaged\n",
                                       found.rows.size());
  return text;
}

} // namespace vmemfs
