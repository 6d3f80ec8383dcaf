// SPDX-License-Identifier: MIT
// A node of the mount's tree: a directory or a file. Knows its attributes, but neither its name nor its
// inode number.
#pragma once

#include "core/error.h"
#include "fs/files/open_file.h"
#include "vm/vm.h"

#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace vmemfs {

class Directory;
class File;

/// Thread-safe. A node must not keep a VM alive, because the kernel may remember a node for a long time.
/// Constructing and destroying one waits for nothing.
class Node {
public:
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  /// All but the inode number. vm_gone: its VM has ended.
  [[nodiscard]] virtual Result<struct stat> attributes() const = 0;

  /// The VM that the node belongs to; kMountNode for a node of the mount itself. Under one name of one
  /// directory, nodes of the same VM are the same node.
  static constexpr VmId kMountNode = 0;
  [[nodiscard]] virtual VmId vm() const { return kMountNode; }
  /// Its VM has ended or was detached; stays true.
  [[nodiscard]] virtual bool gone() const { return false; }

  // Exactly one of these is not null.
  [[nodiscard]] virtual const Directory* as_directory() const { return nullptr; }
  [[nodiscard]] virtual const File* as_file() const { return nullptr; }
};

using NodePtr = std::shared_ptr<const Node>;

struct DirectoryEntry {
  std::string name;
  NodePtr node;
};

class Directory : public Node {
public:
  [[nodiscard]] const Directory* as_directory() const final { return this; }

  /// Null if there is no such name.
  [[nodiscard]] virtual Result<NodePtr> look_up(std::string_view name) const = 0;
  [[nodiscard]] virtual Result<std::vector<DirectoryEntry>> list() const = 0;
  /// list() may wait for the VM.
  [[nodiscard]] virtual bool waits_to_list() const { return false; }
  /// look_up() of this name may.
  [[nodiscard]] virtual bool waits_to_look_up(std::string_view /*name*/) const { return false; }
};

/// The properties of a file that others than its own class act upon.
struct FileTraits {
  bool takes_commands = false; ///< truncation, as by the shell's `>`, passes without effect
  bool guest_memory = false;   ///< cannot be truncated; the kernel's pages follow the guest
  bool reads_memory = false;   ///< reads wait for guest memory, as those of guest memory itself
  bool backed = false;         ///< there may be a file of the host with the same bytes: see Passthrough
  bool waits_to_open = false;  ///< its content is made when it is opened, which may wait for the VM
};

class File : public Node {
public:
  [[nodiscard]] const File* as_file() const final { return this; }

  [[nodiscard]] virtual const FileTraits& traits() const = 0;
  /// `flags` as of open(2). read_only: it takes no writes now.
  [[nodiscard]] virtual Result<std::unique_ptr<OpenFile>> open(int flags) const = 0;
};

} // namespace vmemfs
