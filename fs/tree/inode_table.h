// SPDX-License-Identifier: MIT
// The inode numbers of a mount: which node a number means, by parent and name.
#pragma once

#include "fs/tree/node.h"
#include "util/mutex.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vmemfs {

using Ino = std::uint64_t;
inline constexpr Ino kRootIno = 1;

/// Thread-safe. A number stays the same while its VM is attached and its name is not removed, and is never
/// used for another node. An entry goes when it has no name any more and the kernel has forgotten the number,
/// so that the table is bounded by the names of the attached VMs and by what the kernel remembers.
class InodeTable {
public:
  explicit InodeTable(NodePtr root);

  /// Null if the number is unknown.
  [[nodiscard]] NodePtr find(Ino ino) const;

  /// The number of `node`, which has this name in `parent` now. The kernel gets it, so it counts as one
  /// lookup: valid until forget().
  [[nodiscard]] Ino look_up(Ino parent, std::string_view name, const NodePtr& node);
  /// The same for a listing: no lookup is counted.
  [[nodiscard]] Ino number(Ino parent, std::string_view name, const NodePtr& node);
  /// The kernel forgets this many of its lookups. True: it does not know the number any more.
  bool forget(Ino ino, std::uint64_t lookups);

  /// The name of this number, if it still has one, means another node from now on: the next lookup gets
  /// another number.
  void remove_name(Ino ino) EXCLUDES(mutex_);
  /// The VM has left: its names mean other nodes from now on. Its nodes must be gone() before.
  void remove_vm(VmId vm) EXCLUDES(mutex_);

  /// All nodes of the VM that show guest memory and that the kernel knows.
  [[nodiscard]] std::vector<Ino> guest_memory(VmId vm) const;

  [[nodiscard]] std::size_t size() const; ///< entries, the root included

private:
  using Name = std::pair<Ino, std::string>; ///< parent and name
  struct NameView {
    Ino parent;
    std::string_view name;
  };
  struct NameLess {
    using is_transparent = void; // NOLINT(readability-identifier-naming): the name that the library asks for
    static NameView view(const Name& name) { return {name.first, name.second}; }
    static NameView view(const NameView& name) { return name; }
    template <typename A, typename B> bool operator()(const A& a, const B& b) const {
      return std::pair{view(a).parent, view(a).name} < std::pair{view(b).parent, view(b).name};
    }
  };
  using Names = std::map<Name, Ino, NameLess>;
  struct Entry {
    NodePtr node;
    std::uint64_t lookups = 0;
    Names::iterator name; ///< end() once the name means another node
  };
  using Entries = std::unordered_map<Ino, Entry>;

  Ino assign(NameView name, const NodePtr& node, std::uint64_t lookups) EXCLUDES(mutex_);
  Ino add(NameView name, const NodePtr& node) REQUIRES(mutex_);
  void unlink(Entries::iterator entry) REQUIRES(mutex_);
  void drop_if_unused(Entries::iterator entry) REQUIRES(mutex_);

  mutable Mutex mutex_;
  Names names_ GUARDED_BY(mutex_);
  Entries entries_ GUARDED_BY(mutex_);
  std::set<std::pair<VmId, Ino>> by_vm_ GUARDED_BY(mutex_);
  Ino next_ GUARDED_BY(mutex_) = kRootIno + 1;
};

} // namespace vmemfs
