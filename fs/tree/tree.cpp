// SPDX-License-Identifier: MIT
#include "fs/tree/tree.h"

#include "fs/tree/root_directory.h"

#include <ctime>

namespace vmemfs {
namespace {

NodePtr make_root(const VmRegistry& vms, const MountServices& services, const TreeOptions& options) {
  MountOwner mount{options.uid, options.gid, {}};
  ::clock_gettime(CLOCK_REALTIME, &mount.mounted_at);
  return std::make_shared<RootDirectory>(vms, mount_directory(services, mount), mount, options.root_mode);
}

} // namespace

Tree::Tree(const VmRegistry& vms, const MountServices& services, TreeOptions options)
    : inodes_{make_root(vms, services, options)} {}

Result<NodePtr> Tree::node(Ino ino) const {
  auto found = inodes_.find(ino);
  return found != nullptr ? Result<NodePtr>{std::move(found)}
                          : fail(ErrorKind::not_found, "fs", "no such node");
}

Result<Tree::Found> Tree::look_up(Ino parent, std::string_view name) {
  const auto in = node(parent);
  if (!in) {
    return tl::unexpected{in.error()};
  }
  const Directory* const directory = (*in)->as_directory();
  auto found = directory != nullptr ? directory->look_up(name) : Result<NodePtr>{nullptr};
  if (!found) {
    return tl::unexpected{std::move(found.error())};
  }
  if (*found == nullptr) {
    return fail(ErrorKind::not_found, "fs", "no such file");
  }
  auto attributes = (*found)->attributes();
  if (!attributes) {
    return tl::unexpected{std::move(attributes.error())};
  }
  attributes->st_ino = inodes_.look_up(parent, name, *found);
  return Found{attributes->st_ino, *attributes};
}

Result<struct stat> Tree::attributes(Ino ino) const {
  return node(ino).and_then([](const NodePtr& found) { return found->attributes(); }).map([ino](auto found) {
    found.st_ino = ino;
    return found;
  });
}

Result<std::vector<Tree::Listed>> Tree::list(Ino ino) {
  const auto found = node(ino);
  if (!found) {
    return tl::unexpected{found.error()};
  }
  const Directory* const directory = (*found)->as_directory();
  if (directory == nullptr) {
    return fail(ErrorKind::invalid, "fs", "not a directory");
  }
  return directory->list().map([this, ino](std::vector<DirectoryEntry> entries) {
    std::vector<Listed> listed;
    listed.reserve(entries.size());
    for (DirectoryEntry& entry : entries) {
      const Ino number = inodes_.number(ino, entry.name, entry.node);
      listed.push_back({std::move(entry.name), number, entry.node->as_directory() != nullptr});
    }
    return listed;
  });
}

bool Tree::waits_to_list(Ino ino) const {
  const auto found = inodes_.find(ino);
  const Directory* const directory = found != nullptr ? found->as_directory() : nullptr;
  return directory != nullptr && directory->waits_to_list();
}

bool Tree::waits_to_look_up(Ino parent, std::string_view name) const {
  const auto found = inodes_.find(parent);
  const Directory* const directory = found != nullptr ? found->as_directory() : nullptr;
  return directory != nullptr && directory->waits_to_look_up(name);
}

Result<FileTraits> Tree::traits(Ino ino) const {
  return node(ino).map([](const NodePtr& found) {
    const File* const file = found->as_file();
    return file != nullptr ? file->traits() : FileTraits{};
  });
}

VmId Tree::vm(Ino ino) const {
  const auto found = inodes_.find(ino);
  return found != nullptr ? found->vm() : Node::kMountNode;
}

Result<std::unique_ptr<OpenFile>> Tree::open(Ino ino, int flags) const {
  return node(ino).and_then([flags](const NodePtr& found) -> Result<std::unique_ptr<OpenFile>> {
    const File* const file = found->as_file();
    if (file == nullptr) {
      return fail(ErrorKind::invalid, "fs", "a directory cannot be opened as a file");
    }
    return file->open(flags);
  });
}

} // namespace vmemfs
