// SPDX-License-Identifier: MIT
#include "linux/mounts/mount_walk.h"

#include "linux/structures/list_walk.h"
#include "util/work_limit.h"

#include <vector>

namespace vmemfs {
namespace {

constexpr std::uint64_t kColor = 3; ///< bits of rb_node.__rb_parent_color that are not the address

/// One that somebody who reads /proc/PID/mountinfo keeps in the list (MNT_CURSOR).
constexpr std::uint32_t kCursor = 0x1000'0000;

} // namespace

std::optional<StructureCopy> MountWalk::mount_at(std::uint64_t address) {
  if (WorkLimit::over() || seen_.size() >= kMaxMounts || !seen_.insert(address).second) {
    return std::nullopt;
  }
  return StructureCopy::read(memory_, address, layout_.size);
}

bool MountWalk::visit(std::uint64_t address, const StructureCopy& mount) {
  return mount.pointer(layout_.owner) == namespace_ && visit_(address, mount);
}

bool MountWalk::run_list(const MountLayout::List& list) {
  const ListElement element{.size = layout_.size, .next = list.next, .prev = list.prev};
  return walk_list(memory_, element, namespace_ + list.head, kMaxMounts,
                   [this](std::uint64_t address, const StructureCopy& mount) {
                     const bool is_cursor = (mount.number<std::uint32_t>(layout_.flags) & kCursor) != 0;
                     return is_cursor || visit(address, mount);
                   });
}

bool MountWalk::run_tree(const MountLayout::Tree& tree) {
  struct Open { // a node with its smaller ones visited
    std::uint64_t node;
    StructureCopy mount;
  };
  std::vector<Open> open;
  const auto root = memory_.value<std::uint64_t>(namespace_ + tree.root);
  if (!root) {
    return false;
  }
  std::uint64_t node = *root;
  std::uint64_t parent = 0;
  while (node != 0 || !open.empty()) {
    for (; node != 0; parent = node, node = open.back().mount.pointer(tree.left)) {
      auto mount = open.size() < kMaxHeight ? mount_at(node - tree.node) : std::nullopt;
      if (!mount || (mount->pointer(tree.parent) & ~kColor) != parent) {
        return false;
      }
      open.push_back({.node = node, .mount = std::move(*mount)});
    }
    const Open smallest = std::move(open.back());
    open.pop_back();
    if (!visit(smallest.node - tree.node, smallest.mount)) {
      return false;
    }
    parent = smallest.node;
    node = smallest.mount.pointer(tree.right);
  }
  return memory_.value<std::uint64_t>(namespace_ + tree.root) == root;
}

bool MountWalk::run() { return layout_.tree ? run_tree(*layout_.tree) : run_list(*layout_.list); }

} // namespace vmemfs
