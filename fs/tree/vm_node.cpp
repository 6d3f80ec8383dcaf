// SPDX-License-Identifier: MIT
#include "fs/tree/vm_node.h"

#include "fs/tree/file_modes.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

timespec to_timespec(std::chrono::system_clock::time_point time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  return {seconds.count(), std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count()};
}

/// Attributes of a node of `vm`, with its owner.
struct stat vm_attributes(const MountOwner& mount, const Vm& vm, mode_t type, mode_t permissions) {
  struct stat attributes = node_attributes(mount, type, permissions);
  attributes.st_uid = vm.rights().owner.value_or(mount.uid);
  attributes.st_gid = vm.rights().group.value_or(mount.gid);
  return attributes;
}

struct stat directory_attributes(const MountOwner& mount, const Vm& vm) {
  return vm_attributes(mount, vm, S_IFDIR, directory_mode(vm.rights()));
}

/// "0", "12"; not "00" nor "+1", which would be second names of the same directory.
std::optional<VcpuId> vcpu_by_name(std::string_view name, const VcpuSet& vcpus) {
  std::uint32_t number = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || (name.size() > 1 && name.front() == '0') ||
      !vcpus.contains(VcpuId{number})) {
    return std::nullopt;
  }
  return VcpuId{number};
}

bool is_in_table(const VmTable& table, std::string_view name) {
  return std::ranges::find(table, name, &VmTableRow::name) != table.end();
}

class VcpusDirectory final : public Directory {
public:
  VcpusDirectory(VmScope scope, std::shared_ptr<const VmTable> table)
      : scope_{std::move(scope)}, table_{std::move(table)} {}

  [[nodiscard]] Result<struct stat> attributes() const override {
    return scope_.live().map(
        [this](const std::shared_ptr<Vm>& vm) { return directory_attributes(scope_.mount, *vm); });
  }
  [[nodiscard]] VmId vm() const override { return scope_.id; }
  [[nodiscard]] bool gone() const override { return !scope_.live(); }

  [[nodiscard]] Result<NodePtr> look_up(std::string_view name) const override {
    return scope_.live().map([&](const std::shared_ptr<Vm>& vm) -> NodePtr {
      const auto vcpu = vcpu_by_name(name, vm->guest().vcpus());
      return vcpu ? directory(*vcpu) : nullptr;
    });
  }
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list() const override {
    return scope_.live().map([this](const std::shared_ptr<Vm>& vm) {
      std::vector<DirectoryEntry> entries;
      for (const VcpuId vcpu : vm->guest().vcpus()) {
        entries.push_back({fmt::format("{}", vcpu.value()), directory(vcpu)});
      }
      return entries;
    });
  }

private:
  [[nodiscard]] NodePtr directory(VcpuId vcpu) const {
    VmScope scope = scope_;
    scope.vcpu = vcpu;
    return std::make_shared<VmDirectory>(std::move(scope), table_);
  }

  const VmScope scope_;
  const std::shared_ptr<const VmTable> table_;
};

class VmFile final : public File {
public:
  VmFile(VmScope scope, std::shared_ptr<const VmFileType> type)
      : scope_{std::move(scope)}, type_{std::move(type)},
        size_{type_->text_bytes ? std::make_shared<TextSize>(type_->varies) : nullptr} {}

  [[nodiscard]] Result<struct stat> attributes() const override;
  [[nodiscard]] VmId vm() const override { return scope_.id; }
  [[nodiscard]] bool gone() const override { return !scope_.live(); }
  [[nodiscard]] const FileTraits& traits() const override { return type_->traits; }
  [[nodiscard]] Result<std::unique_ptr<OpenFile>> open(int flags) const override;

private:
  [[nodiscard]] bool takes_writes(Vm& vm) const {
    switch (type_->writes) {
    case FileWrites::never: return false;
    case FileWrites::if_vm_writable: return vm.write_gate().writable();
    case FileWrites::always:
    case FileWrites::by_readers: return true;
    }
    return false;
  }
  [[nodiscard]] Result<void> check_takes_writes(Vm& vm) const {
    if (type_->writes == FileWrites::if_vm_writable) {
      return vm.write_gate().check_on();
    }
    if (!takes_writes(vm)) {
      return vm.events().noted<void>(fail(ErrorKind::read_only, "fs", "this file takes no writes"));
    }
    return {};
  }
  [[nodiscard]] mode_t mode(Vm& vm) const {
    const FileRights& rights = vm.rights();
    if (type_->writes == FileWrites::by_readers) {
      return read_and_request_mode(rights);
    }
    return takes_writes(vm) ? writable_file_mode(rights) : read_only_file_mode(rights);
  }

  const VmScope scope_;
  const std::shared_ptr<const VmFileType> type_;
  const std::shared_ptr<TextSize> size_; ///< null: it is no text
};

Result<struct stat> VmFile::attributes() const {
  return scope_.present().map([this](const std::shared_ptr<Vm>& vm) {
    struct stat attributes = vm_attributes(scope_.mount, *vm, S_IFREG, mode(*vm));
    if (type_->traits.guest_memory) {
      constexpr std::uint64_t kBlock = 512; // the unit of st_blocks
      vm->guest().memory().poll_layout();
      attributes.st_size = static_cast<off_t>(type_->image_bytes ? type_->image_bytes(vm->guest())
                                                                 : vm->guest().memory().size());
      const std::uint64_t held =
          type_->held_bytes ? type_->held_bytes(vm->guest()) : vm->guest().memory().held_bytes();
      // An image may show a part of the memory only, as vmlinux does.
      attributes.st_blocks = static_cast<blkcnt_t>(
          std::min(held / kBlock, (static_cast<std::uint64_t>(attributes.st_size) + kBlock - 1) / kBlock));
      attributes.st_blksize = static_cast<blksize_t>(AddressSpace::kMaxRead);
    }
    if (type_->made_bytes) {
      set_size(attributes, type_->made_bytes(*vm));
    }
    if (size_ != nullptr) {
      set_size(attributes, size_->promise(type_->text_bytes(*vm, *size_)));
    }
    if (type_->preferred_bytes != 0) {
      attributes.st_blksize = static_cast<blksize_t>(type_->preferred_bytes);
    }
    // Not the time of a status change too: tar takes that for a file that changed while it was read.
    attributes.st_mtim = to_timespec(vm->guest().last_change());
    return attributes;
  });
}

Result<std::unique_ptr<OpenFile>> VmFile::open(int flags) const {
  const auto vm = scope_.present();
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  if (type_->traits.guest_memory && (flags & (O_TRUNC | O_APPEND)) != 0) {
    return (*vm)->events().noted<std::unique_ptr<OpenFile>>(
        fail(ErrorKind::not_permitted, "fs",
             "guest memory cannot be truncated or appended to; to write with dd, add conv=notrunc"));
  }
  if ((flags & O_ACCMODE) != O_RDONLY) {
    if (auto may = check_takes_writes(**vm); !may) {
      return tl::unexpected{std::move(may.error())};
    }
  }
  return type_->open(*vm, scope_.vcpu.value_or(VcpuId{}), size_);
}

} // namespace

Result<std::shared_ptr<Vm>> VmScope::live() const {
  auto found = vm.lock();
  if (found == nullptr || found->gone()) {
    return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
  }
  return found;
}

Result<std::shared_ptr<Vm>> VmScope::present() const {
  return live().and_then([this](std::shared_ptr<Vm>&& found) -> Result<std::shared_ptr<Vm>> {
    if (vcpu && !found->guest().vcpus().contains(*vcpu)) {
      return fail(ErrorKind::vcpu_gone, "fs",
                  fmt::format("{} has no vCPU {} any more", found->name(), vcpu->value()));
    }
    return std::move(found);
  });
}

Result<struct stat> VmDirectory::attributes() const {
  return scope_.present().map(
      [this](const std::shared_ptr<Vm>& vm) { return directory_attributes(scope_.mount, *vm); });
}

Result<NodePtr> VmDirectory::look_up(std::string_view name) const {
  return scope_.present().map([&](const std::shared_ptr<Vm>& vm) -> NodePtr {
    const auto found = std::ranges::find(*table_, name, &VmTableRow::name);
    if (found != table_->end()) {
      return found->is_in(*vm) ? found->node(scope_) : nullptr;
    }
    if (more_.list == nullptr) {
      return nullptr;
    }
    const auto names = more_.list(*vm);
    return std::ranges::find(names, name) != names.end() ? more_.node(std::string{name})(scope_) : nullptr;
  });
}

Result<std::vector<DirectoryEntry>> VmDirectory::list() const {
  return scope_.present().map([this](const std::shared_ptr<Vm>& vm) {
    std::vector<DirectoryEntry> entries;
    for (const VmTableRow& row : *table_) {
      if (row.is_listed(*vm)) {
        entries.push_back({std::string{row.name}, row.node(scope_)});
      }
    }
    for (const std::string& name : more_.list != nullptr ? more_.list(*vm) : std::vector<std::string>{}) {
      if (!is_in_table(*table_, name)) {
        entries.push_back({name, more_.node(name)(scope_)});
      }
    }
    return entries;
  });
}

bool VmDirectory::waits_to_list() const {
  return (more_.list != nullptr && more_.waits) ||
         std::ranges::any_of(*table_, [](const VmTableRow& row) { return row.present != nullptr; });
}

bool VmDirectory::waits_to_look_up(std::string_view name) const {
  return more_.list != nullptr && more_.waits && !is_in_table(*table_, name);
}

VmNode vm_directory(VmTable table, VmNames more) {
  return [shared = std::make_shared<const VmTable>(std::move(table)), more](const VmScope& scope) -> NodePtr {
    return std::make_shared<VmDirectory>(scope, shared, more);
  };
}

VmNode vcpu_directories(VmTable table) {
  return [shared = std::make_shared<const VmTable>(std::move(table))](const VmScope& scope) -> NodePtr {
    return std::make_shared<VcpusDirectory>(scope, shared);
  };
}

VmNode vm_file(VmFileType type) {
  return [shared = std::make_shared<const VmFileType>(std::move(type))](const VmScope& scope) -> NodePtr {
    return std::make_shared<VmFile>(scope, shared);
  };
}

} // namespace vmemfs
