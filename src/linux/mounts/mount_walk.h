// SPDX-License-Identifier: MIT
// The mounts of a mount namespace, which may change while they are read.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/mounts/mount_layout.h"
#include "linux/structures/structure_copy.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_set>

namespace vmemfs {

/// A step counts only if both elements point to each other, and a mount only if it names the namespace as its
/// own. Not thread-safe.
class MountWalk {
public:
  /// Half of the kernel's limit (fs.mount-max), which no real guest comes near to.
  static constexpr std::size_t kMaxMounts = 50'000;
  /// Max height of a tree. One with kMaxMounts elements has 32 at most.
  static constexpr std::size_t kMaxHeight = 64;

  /// Called with the address of a struct mount and a copy of it, in the order of /proc/PID/mountinfo.
  /// Returns whether to go on.
  using Visit = std::function<bool(std::uint64_t address, const StructureCopy& mount)>;

  /// `layout` and `visit` outlive this object.
  MountWalk(KernelMemory& memory, const MountLayout& layout, std::uint64_t name_space, const Visit& visit)
      : memory_{memory}, layout_{layout}, namespace_{name_space}, visit_{visit} {}

  /// To be called once. Whether all of them were there; otherwise it ended where the memory was no list or
  /// tree, where `visit` wanted it, or at the limit of the calling thread's work (WorkLimit).
  [[nodiscard]] bool run();

private:
  /// nullopt: it cannot be read, or was there before.
  [[nodiscard]] std::optional<StructureCopy> mount_at(std::uint64_t address);
  [[nodiscard]] bool visit(std::uint64_t address, const StructureCopy& mount);
  [[nodiscard]] bool run_list(const MountLayout::List& list);
  [[nodiscard]] bool run_tree(const MountLayout::Tree& tree);

  KernelMemory& memory_;
  const MountLayout& layout_;
  const std::uint64_t namespace_;
  const Visit& visit_;
  std::unordered_set<std::uint64_t> seen_; ///< addresses of mounts in a tree
};

} // namespace vmemfs
