// SPDX-License-Identifier: MIT
#include "fs/fuse/mount_directory.h"

#include "fs/files/driver_text.h"
#include "fs/files/events_file.h"
#include "fs/files/mount_control_file.h"
#include "fs/files/text_file.h"

#include <algorithm>
#include <fcntl.h>

namespace vmemfs {
namespace {

tl::unexpected<Error> no_such_file() { return fail(ErrorKind::not_found, "fs", "no such file"); }

} // namespace

Result<NodeId> MountDirectory::look_up(NodeId directory, std::string_view name) const {
  const auto entries = list(directory);
  if (!entries) {
    return tl::unexpected{entries.error()};
  }
  const auto found = std::ranges::find(*entries, name, &DirectoryEntry::name);
  return found != entries->end() ? Result<NodeId>{found->node} : no_such_file();
}

Result<std::vector<DirectoryEntry>> MountDirectory::list(NodeId directory) const {
  if (directory.kind == NodeKind::mount_directory) {
    return std::vector<DirectoryEntry>{
        {"control", {NodeKind::mount_control, 0, {}}},
        {"drivers", {NodeKind::drivers_dir, 0, {}}},
        {"events", {NodeKind::events, 0, {}}},
        {"stats", {NodeKind::stats, 0, {}}},
    };
  }
  if (directory.kind != NodeKind::drivers_dir) {
    return fail(ErrorKind::invalid, "fs", "not a directory");
  }
  std::vector<DirectoryEntry> entries;
  for (std::uint32_t i = 0; i < services_.drivers.size(); ++i) {
    entries.push_back({std::string{services_.drivers[i]->name()}, {NodeKind::driver_file, 0, VcpuId{i}}});
  }
  return entries;
}

Result<std::unique_ptr<OpenFile>> MountDirectory::open(NodeId node, int flags) const {
  if (node.kind == NodeKind::mount_control) {
    return std::make_unique<MountControlFile>(services_.vms, services_.attacher, services_.finder);
  }
  if ((flags & O_ACCMODE) != O_RDONLY) {
    return fail(ErrorKind::read_only, "fs", "this file takes no writes");
  }
  if (node.kind == NodeKind::driver_file && node.vcpu.value() < services_.drivers.size()) {
    const DriverType& type = *services_.drivers[node.vcpu.value()];
    return std::make_unique<TextFile>([&type]() -> Result<std::string> { return driver_text(type); });
  }
  if (node.kind == NodeKind::events) {
    return std::make_unique<EventsFile>(services_.events);
  }
  if (node.kind == NodeKind::stats) {
    return std::make_unique<TextFile>([this]() -> Result<std::string> { return services_.stats(); });
  }
  return no_such_file();
}

} // namespace vmemfs
