// SPDX-License-Identifier: MIT
#include "fs/fuse/tree.h"

#include "fs/files/control_file.h"
#include "fs/files/info_text.h"
#include "fs/files/maps_text.h"
#include "fs/files/memory_file.h"
#include "fs/files/registers_file.h"
#include "fs/files/text_file.h"
#include "fs/fuse/file_modes.h"

#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <fmt/format.h>

namespace vmemfs {
namespace {

struct NamedKind {
  std::string_view name;
  NodeKind kind;
};
constexpr std::array kVmEntries{
    NamedKind{"mem", NodeKind::mem},         NamedKind{"mem_padded", NodeKind::mem_padded},
    NamedKind{"maps", NodeKind::maps},       NamedKind{"info", NodeKind::info},
    NamedKind{"control", NodeKind::control}, NamedKind{"vcpus", NodeKind::vcpus_dir},
};

tl::unexpected<Error> no_such_file() { return fail(ErrorKind::not_found, "fs", "no such file"); }

timespec to_timespec(std::chrono::system_clock::time_point time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  return {seconds.count(), std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count()};
}

timespec now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return time;
}

/// "0", "12"; not "00" nor "+1", which would be second names of the same directory.
std::optional<VcpuId> vcpu_by_name(std::string_view name, std::uint32_t vcpu_count) {
  std::uint32_t number = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || (name.size() > 1 && name.front() == '0') ||
      number >= vcpu_count) {
    return std::nullopt;
  }
  return VcpuId{number};
}

bool is_memory(NodeKind kind) { return kind == NodeKind::mem || kind == NodeKind::mem_padded; }

bool takes_writes(NodeKind kind, const Vm& vm) {
  return kind == NodeKind::control || ((is_memory(kind) || kind == NodeKind::regs) && vm.writable());
}

} // namespace

Tree::Tree(VmRegistry& vms, const MountDirectory& mount_directory, TreeOptions options)
    : vms_{vms}, mount_directory_{mount_directory}, options_{options}, mounted_at_{now()} {}

Result<std::shared_ptr<Vm>> Tree::vm_of(NodeId node) const {
  auto vm = vms_.find(node.vm);
  if (vm == nullptr || vm->gone()) {
    return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
  }
  return vm;
}

Result<NodeId> Tree::look_up(NodeId directory, std::string_view name) const {
  if (is_mount_node(directory.kind)) {
    return mount_directory_.look_up(directory, name);
  }
  if (directory.kind == NodeKind::root) {
    if (name == MountDirectory::kName) {
      return NodeId{NodeKind::mount_directory, 0, {}};
    }
    const auto vm = vms_.find(name);
    return vm != nullptr ? Result<NodeId>{NodeId{NodeKind::vm_dir, vm->id(), {}}} : no_such_file();
  }
  const auto vm = vm_of(directory);
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  if (directory.kind == NodeKind::vm_dir) {
    for (const auto& [entry, kind] : kVmEntries) {
      if (entry == name) {
        return NodeId{kind, directory.vm, {}};
      }
    }
  } else if (directory.kind == NodeKind::vcpus_dir) {
    if (const auto vcpu = vcpu_by_name(name, (*vm)->driver().vcpu_count())) {
      return NodeId{NodeKind::vcpu_dir, directory.vm, *vcpu};
    }
  } else if (directory.kind == NodeKind::vcpu_dir && name == "regs") {
    return NodeId{NodeKind::regs, directory.vm, directory.vcpu};
  }
  return no_such_file();
}

Result<std::vector<DirectoryEntry>> Tree::list(NodeId directory) const {
  if (is_mount_node(directory.kind)) {
    return mount_directory_.list(directory);
  }
  std::vector<DirectoryEntry> entries;
  if (directory.kind == NodeKind::root) {
    entries.push_back({std::string{MountDirectory::kName}, {NodeKind::mount_directory, 0, {}}});
    for (const auto& vm : vms_.all()) {
      entries.push_back({vm->name(), {NodeKind::vm_dir, vm->id(), {}}});
    }
    return entries;
  }
  const auto vm = vm_of(directory);
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  if (directory.kind == NodeKind::vm_dir) {
    for (const auto& [name, kind] : kVmEntries) {
      entries.push_back({std::string{name}, {kind, directory.vm, {}}});
    }
  } else if (directory.kind == NodeKind::vcpus_dir) {
    for (std::uint32_t i = 0; i < (*vm)->driver().vcpu_count(); ++i) {
      entries.push_back({fmt::format("{}", i), {NodeKind::vcpu_dir, directory.vm, VcpuId{i}}});
    }
  } else if (directory.kind == NodeKind::vcpu_dir) {
    entries.push_back({"regs", {NodeKind::regs, directory.vm, directory.vcpu}});
  } else {
    return fail(ErrorKind::invalid, "fs", "not a directory");
  }
  return entries;
}

/// The root, and what lies in `.vmemfs/`: the mounter's.
void Tree::describe_mount_node(NodeKind kind, struct stat& attributes) const {
  attributes.st_uid = options_.uid;
  attributes.st_gid = options_.gid;
  attributes.st_mtim = attributes.st_ctim = mounted_at_;
  if (kind == NodeKind::root) {
    attributes.st_mode = S_IFDIR | options_.root_mode;
  } else if (is_directory(kind)) {
    attributes.st_mode = S_IFDIR | 0500U;
  } else {
    attributes.st_mode = S_IFREG | (kind == NodeKind::mount_control ? 0600U : 0400U);
  }
}

/// Of a VM.
void Tree::describe(NodeId node, Vm& vm, struct stat& attributes) const {
  const FileRights& rights = vm.rights();
  attributes.st_uid = rights.owner.value_or(options_.uid);
  attributes.st_gid = rights.group.value_or(options_.gid);
  if (is_directory(node.kind)) {
    attributes.st_mode = S_IFDIR | directory_mode(rights);
    attributes.st_mtim = attributes.st_ctim = mounted_at_;
    return;
  }
  attributes.st_mode =
      S_IFREG | (takes_writes(node.kind, vm) ? writable_file_mode(rights) : read_only_file_mode(rights));
  if (is_memory(node.kind)) {
    constexpr std::uint64_t kBlock = 512; // the unit of st_blocks
    vm.poll_layout();
    const auto map = vm.driver().memory_map();
    attributes.st_size = static_cast<off_t>(map->ram_end().value());
    attributes.st_blocks = static_cast<blkcnt_t>(map->data_bytes() / kBlock);
    attributes.st_blksize = static_cast<blksize_t>(MemoryView::kMaxRead);
  }
  attributes.st_mtim = attributes.st_ctim = to_timespec(vm.last_change());
}

Result<struct stat> Tree::attributes(NodeId node) const {
  struct stat attributes {};
  attributes.st_ino = node.ino();
  attributes.st_nlink = is_directory(node.kind) ? 2 : 1;
  attributes.st_atim = mounted_at_;
  if (node.kind == NodeKind::root || is_mount_node(node.kind)) {
    describe_mount_node(node.kind, attributes);
    return attributes;
  }
  const auto vm = vm_of(node);
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  describe(node, **vm, attributes);
  return attributes;
}

Result<std::unique_ptr<OpenFile>> Tree::open(NodeId node, int flags) const {
  if (is_mount_node(node.kind)) {
    return mount_directory_.open(node, flags);
  }
  auto found = vm_of(node);
  if (!found) {
    return tl::unexpected{found.error()};
  }
  const std::shared_ptr<Vm> vm = std::move(*found);
  const bool for_writing = (flags & O_ACCMODE) != O_RDONLY;
  if (is_memory(node.kind) && (flags & (O_TRUNC | O_APPEND)) != 0) {
    return fail(ErrorKind::not_permitted, "fs", "guest memory can't be truncated or appended to");
  }
  if (for_writing && !takes_writes(node.kind, *vm)) {
    return fail(ErrorKind::read_only, "fs", fmt::format("{}: this file takes no writes now", vm->name()));
  }
  switch (node.kind) {
  case NodeKind::mem: return std::make_unique<MemoryFile>(vm, HolePolicy::honest);
  case NodeKind::mem_padded: return std::make_unique<MemoryFile>(vm, HolePolicy::padded);
  case NodeKind::maps:
    return std::make_unique<TextFile>([vm]() -> Result<std::string> {
      if (vm->gone()) {
        return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
      }
      vm->poll_layout();
      return maps_text(*vm->driver().memory_map());
    });
  case NodeKind::info:
    return std::make_unique<TextFile>([vm]() -> Result<std::string> { return info_text(*vm); });
  case NodeKind::control: return std::make_unique<ControlFile>(vm);
  case NodeKind::regs: return std::make_unique<RegistersFile>(vm, node.vcpu);
  case NodeKind::root:
  case NodeKind::vm_dir:
  case NodeKind::vcpus_dir:
  case NodeKind::vcpu_dir:
  case NodeKind::mount_directory:
  case NodeKind::mount_control:
  case NodeKind::drivers_dir:
  case NodeKind::driver_file:
  case NodeKind::events:
  case NodeKind::stats: break;
  }
  return fail(ErrorKind::invalid, "fs", "a directory can't be opened as a file");
}

} // namespace vmemfs
