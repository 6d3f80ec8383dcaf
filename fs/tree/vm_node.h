// SPDX-License-Identifier: MIT
// Nodes of a VM: directories that are tables, and files that are opened on the VM.
#pragma once

#include "fs/tree/mount_node.h"
#include "vm/vm.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// The part of the mount that a node of a VM belongs to.
struct VmScope {
  MountOwner mount;
  VmId id;
  std::weak_ptr<Vm> vm;
  std::optional<VcpuId> vcpu{}; ///< below `vcpus/N`

  /// vm_gone: the VM has ended, was detached, or is not attached any more.
  [[nodiscard]] Result<std::shared_ptr<Vm>> live() const;
  /// The same; vcpu_gone: the VM does not have the vCPU now. It may come back, so its nodes stay.
  [[nodiscard]] Result<std::shared_ptr<Vm>> present() const;
};

/// Makes a node for a VM: one value in a table.
using VmNode = std::function<NodePtr(const VmScope&)>;

struct VmTableRow {
  std::string_view name; ///< a literal
  VmNode node;
  /// Whether this VM can have it at all. Null: all have it. Waits for nobody.
  bool (*possible)(Vm&) = nullptr;
  /// Whether this VM has it now, for a listing: who copies or searches a tree should meet no files that do
  /// not work. Null: it has. May wait for the VM.
  bool (*present)(Vm&) = nullptr;

  [[nodiscard]] bool is_in(Vm& vm) const { return possible == nullptr || possible(vm); }
  [[nodiscard]] bool is_listed(Vm& vm) const { return is_in(vm) && (present == nullptr || present(vm)); }
};
using VmTable = std::vector<VmTableRow>;

/// Names that a VM has in a directory beside those of the table, and that may change.
struct VmNames {
  /// Each is a valid name of a file. Null: there are none.
  std::vector<std::string> (*list)(Vm&) = nullptr;
  VmNode (*node)(const std::string& name) = nullptr;
  bool waits = true; ///< list() may wait for the VM
};

/// A directory of a VM that has the names of its table, and then those that the VM has. vm_gone once the VM
/// has ended.
class VmDirectory final : public Directory {
public:
  VmDirectory(VmScope scope, std::shared_ptr<const VmTable> table, VmNames more = {})
      : scope_{std::move(scope)}, table_{std::move(table)}, more_{more} {}

  [[nodiscard]] Result<struct stat> attributes() const override;
  [[nodiscard]] VmId vm() const override { return scope_.id; }
  [[nodiscard]] bool gone() const override { return !scope_.live(); }
  [[nodiscard]] Result<NodePtr> look_up(std::string_view name) const override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list() const override;
  [[nodiscard]] bool waits_to_list() const override;
  [[nodiscard]] bool waits_to_look_up(std::string_view name) const override;

private:
  const VmScope scope_;
  const std::shared_ptr<const VmTable> table_;
  const VmNames more_;
};

/// A directory that has the names of the table, and then those that the VM has; one that is in the table
/// too means what is there.
[[nodiscard]] VmNode vm_directory(VmTable table, VmNames more = {});

/// `vcpus`: a directory `N` for each vCPU, each with the names of the table.
[[nodiscard]] VmNode vcpu_directories(VmTable table);

/// When a file takes writes.
enum class FileWrites : unsigned char {
  never,
  if_vm_writable,
  always,
  by_readers, ///< always, and by all who may read it: a write changes nothing but what they read
};

/// A kind of file of a VM.
struct VmFileType {
  FileTraits traits{};
  FileWrites writes = FileWrites::never;
  /// `size` is the node's, for a text.
  std::function<Result<std::unique_ptr<OpenFile>>(const std::shared_ptr<Vm>&, VcpuId,
                                                  const std::shared_ptr<TextSize>& size)>
      open;
  /// Of a text: how many bytes it has now, about. Waits for nobody.
  std::function<std::size_t(Vm&, const TextSize&)> text_bytes{};
  /// Of guest memory that is laid out otherwise than in the guest: how many bytes. Waits for nobody.
  std::function<std::uint64_t(Guest&)> image_bytes{};
  /// The same: about how many bytes the host holds of it. Empty: as of the whole memory.
  std::function<std::uint64_t(Guest&)> held_bytes{};
  /// Of what is made when it is opened: how many bytes that was; 0: it was not. Waits for nobody.
  std::function<std::size_t(Vm&)> made_bytes{};
  TextSize::Varies varies = TextSize::Varies::seldom;
  std::size_t preferred_bytes = 0; ///< of a read or write, st_blksize; 0: any
};

/// A file of that kind, for a table.
[[nodiscard]] VmNode vm_file(VmFileType type);

} // namespace vmemfs
