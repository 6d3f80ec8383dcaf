// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "driver/decorators/forwarding_driver.h"
#include "drivers/fake/fake_driver.h"
#include "fs/tree/tree.h"
#include "support/files.h"
#include "support/recording_reply.h"
#include "tests/vm/registry_fixture.h"
#include "vm/discovery/attacher.h"
#include "vm/discovery/vm_finder.h"
#include "vm/event_log.h"

#include <algorithm>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using test::eventually;
using test::read_file;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uid_t kMounter = 1000;
constexpr gid_t kMountersGroup = 1001;

/// A tree of one VM, `vm`.
class TreeTest : public RegistryTest {
protected:
  TreeTest() {
    vms_.set_callbacks({.changed = {}, .removed = [this](const Vm& vm) { tree_.remove_vm(vm.id()); }});
  }
  // None may run on what ends.
  ~TreeTest() override {
    stop_workers();
    feed_->end();
  }

  void add(VmOptions options, FakeOptions guest = {}) {
    vm_ = *vms_.add("vm", std::move(*FakeDriver::create(std::move(guest))), options);
  }
  /// Looks every part of the path up, as the kernel does.
  static Result<Tree::Found> find(Tree& tree, std::string_view path) {
    Tree::Found found{kRootIno, *tree.attributes(kRootIno)};
    for (const std::string_view name : split(path, '/')) {
      auto next = name.empty() ? Result<Tree::Found>{found} : tree.look_up(found.ino, name);
      if (!next) {
        return next;
      }
      found = *next;
    }
    return found;
  }
  Result<Tree::Found> find(std::string_view path) { return find(tree_, path); }
  Ino ino_of(std::string_view path) { return find(path).value().ino; }
  struct stat stat_of(std::string_view path) { return find(path).value().attributes; }
  mode_t mode_of(std::string_view path) { return stat_of(path).st_mode; }
  std::vector<std::string> names(std::string_view path) {
    std::vector<std::string> found;
    const auto entries = tree_.list(ino_of(path)).value();
    for (const Tree::Listed& listed : entries) {
      found.push_back(listed.name);
    }
    return found;
  }
  ErrorKind open_error(std::string_view path, int flags) {
    const auto file = tree_.open(ino_of(path), flags);
    return file ? ErrorKind::not_found : file.error().kind;
  }
  void vm_leaves() {
    vm_->detach();
    ASSERT_TRUE(eventually([&] { return vms_.find(vm_->id()) == nullptr; }));
    wait_for_notifier();
  }
  void wait_for_notifier() {
    std::atomic<bool> done{false};
    notifier_.post([&] { done = true; });
    ASSERT_TRUE(eventually([&] { return done.load(); }));
  }

  VmOptionsTable options_;
  Attacher attacher_{{}, vms_, options_};
  VmFinder finder_{{}, {}, attacher_, {}, {}};
  EventLog events_;
  std::shared_ptr<EventFeed> feed_ = EventFeed::create(events_);
  const MountServices services_{
      .drivers = {}, .vms = vms_, .attacher = attacher_, .finder = finder_, .events = *feed_, .stats = [] {
        return std::string{"stats\n"};
      }};
  Tree tree_{vms_, services_, {kMounter, kMountersGroup}};
  Tree open_tree_{vms_, services_, {kMounter, kMountersGroup, TreeOptions::kRootForAll}};
  std::shared_ptr<Vm> vm_;
};

constexpr const char* kVmFiles[] = {
    "vm/mem",        "vm/mem_padded",   "vm/core",         "vm/mem.lime",     "vm/maps",
    "vm/info",       "vm/control",      "vm/vcpus/0/regs", "vm/vcpus/0/virt", "vm/vcpus/0/virt_maps",
    "vm/linux/info", "vm/ram/fake.ram", "vm/batch"};
constexpr const char* kVmDirectories[] = {"vm", "vm/ram", "vm/vcpus", "vm/vcpus/0", "vm/linux"};

bool is_control(std::string_view path) { return path.ends_with("control"); }
/// Takes requests of all who may read it.
bool is_batch(std::string_view path) { return path.ends_with("batch"); }

// ---- owner and mode

TEST_F(TreeTest, VmFiles_WithoutRights_BelongToTheMounterAlone) {
  add({});
  for (const char* const path : kVmFiles) {
    EXPECT_EQ(mode_of(path), S_IFREG | (is_control(path) || is_batch(path) ? 0600U : 0400U)) << path;
    EXPECT_EQ(stat_of(path).st_uid, kMounter);
    EXPECT_EQ(stat_of(path).st_gid, kMountersGroup);
    EXPECT_EQ(stat_of(path).st_nlink, 1U);
  }
  for (const char* const path : kVmDirectories) {
    EXPECT_EQ(mode_of(path), S_IFDIR | 0500U) << path;
    EXPECT_EQ(stat_of(path).st_uid, kMounter);
    EXPECT_EQ(stat_of(path).st_nlink, 2U);
  }
}

TEST_F(TreeTest, VmNodes_OwnerSet_BelongToIt) {
  add({.rights = {.owner = 7, .group = 8, .mode = 0640}});
  for (const char* const path : kVmFiles) {
    EXPECT_EQ(mode_of(path), S_IFREG | (is_batch(path) ? 0660U : is_control(path) ? 0640U : 0440U)) << path;
    EXPECT_EQ(stat_of(path).st_uid, 7U);
    EXPECT_EQ(stat_of(path).st_gid, 8U);
  }
  for (const char* const path : kVmDirectories) {
    EXPECT_EQ(mode_of(path), S_IFDIR | 0550U) << path;
    EXPECT_EQ(stat_of(path).st_uid, 7U);
    EXPECT_EQ(stat_of(path).st_gid, 8U);
  }
}

TEST_F(TreeTest, VmNodes_OnlyGroupSet_OwnerIsTheMounter) {
  add({.rights = {.owner = {}, .group = 8, .mode = 0660}});
  EXPECT_EQ(stat_of("vm/mem").st_uid, kMounter);
  EXPECT_EQ(stat_of("vm/mem").st_gid, 8U);
}

TEST_F(TreeTest, WriteBits_FollowWhetherTheFileTakesWrites) {
  add({.writable = true, .rights = {.owner = {}, .group = {}, .mode = 0664}});
  for (const char* const path : {"vm/mem", "vm/mem_padded", "vm/vcpus/0/regs", "vm/control"}) {
    EXPECT_EQ(mode_of(path), S_IFREG | 0664U) << path;
  }
  EXPECT_EQ(mode_of("vm/mem.lime"), S_IFREG | 0444U);
  EXPECT_EQ(mode_of("vm/maps"), S_IFREG | 0444U);
  EXPECT_EQ(mode_of("vm/info"), S_IFREG | 0444U);
  EXPECT_EQ(mode_of("vm"), S_IFDIR | 0555U);
  ASSERT_TRUE(vm_->write_gate().set_writable(false));
  EXPECT_EQ(mode_of("vm/mem"), S_IFREG | 0444U);
  EXPECT_EQ(mode_of("vm/control"), S_IFREG | 0664U);
}

TEST_F(TreeTest, Directory_WriteOnlyGroup_MayNotEnter) {
  add({.writable = true, .rights = {.owner = {}, .group = {}, .mode = 0620}});
  EXPECT_EQ(mode_of("vm/mem"), S_IFREG | 0620U);
  EXPECT_EQ(mode_of("vm"), S_IFDIR | 0500U);
}

TEST_F(TreeTest, Rights_OtherBits_AreIgnored) {
  add({.writable = true, .rights = {.owner = {}, .group = {}, .mode = 07777}});
  EXPECT_EQ(mode_of("vm/mem"), S_IFREG | 0666U);
}

TEST_F(TreeTest, MountNodes_VmReadableByAll_StayTheMounters) {
  add({.rights = {.owner = 7, .group = 8, .mode = 0666}});
  for (const char* const path : {"", ".vmemfs", ".vmemfs/drivers"}) {
    EXPECT_EQ(mode_of(path), S_IFDIR | 0500U) << path;
    EXPECT_EQ(stat_of(path).st_uid, kMounter);
  }
  EXPECT_EQ(mode_of(".vmemfs/control"), S_IFREG | 0600U);
  EXPECT_EQ(mode_of(".vmemfs/stats"), S_IFREG | 0400U);
  EXPECT_EQ(mode_of(".vmemfs/events"), S_IFREG | 0400U);
  EXPECT_EQ(find(open_tree_, "")->attributes.st_mode, S_IFDIR | 0555U);
  EXPECT_EQ(find(open_tree_, ".vmemfs")->attributes.st_mode, S_IFDIR | 0500U);
}

// ---- names

TEST_F(TreeTest, Names_OfEveryDirectory) {
  add({}, {.vcpus = 2, .holes = {}, .roms = {}, .bad = {}});
  EXPECT_THAT(names(""), ElementsAre(".vmemfs", "vm"));
  EXPECT_THAT(names(".vmemfs"), ElementsAre("control", "drivers", "events", "stats"));
  EXPECT_THAT(names("vm"), ElementsAre("mem", "mem_padded", "core", "mem.lime", "maps", "info", "control",
                                       "batch", "vcpus", "ram", "linux"));
  EXPECT_THAT(names("vm/linux"), ElementsAre("info")) << "the others are those of a Linux guest";
  EXPECT_THAT(names("vm/linux/btf"), ElementsAre("vmlinux")) << "and the modules";
  EXPECT_THAT(names("vm/vcpus"), ElementsAre("0", "1"));
  EXPECT_THAT(names("vm/vcpus/1"), ElementsAre("regs", "virt", "virt_maps"));
}

TEST_F(TreeTest, NamesThatTheGuestHas_OnlyTheyAreWaitedFor) {
  add({});
  const Ino types = ino_of("vm/linux/btf");
  EXPECT_TRUE(tree_.waits_to_list(types));
  EXPECT_TRUE(tree_.waits_to_look_up(types, "llc"));
  EXPECT_FALSE(tree_.waits_to_look_up(types, "vmlinux"));
  EXPECT_FALSE(tree_.waits_to_look_up(ino_of("vm/linux"), "llc"));
  EXPECT_FALSE(find("vm/linux/btf/llc")) << "it runs no Linux";
}

class NoRegisters : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  RegisterReader* register_reader() override { return nullptr; }
};

TEST_F(TreeTest, RegistersCannotBeRead_NoVirtualMemory) {
  vm_ = *vms_.add("vm", std::make_unique<NoRegisters>(std::move(*FakeDriver::create({}))), {});
  EXPECT_THAT(names("vm/vcpus/0"), ElementsAre("regs"));
  EXPECT_EQ(find("vm/vcpus/0/virt").error().kind, ErrorKind::not_found);
}

/// Has only some registers, as a core with nothing but NT_PRSTATUS.
class FewRegisters : public ForwardingDriver, RegisterReader {
public:
  FewRegisters(std::unique_ptr<Driver> inner, std::vector<x86_64::Register> has)
      : ForwardingDriver{std::move(inner)}, has_{std::move(has)} {}
  RegisterReader* register_reader() override { return this; }

private:
  const RegisterLayout& register_layout() const override { return x86_64::register_layout(); }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override {
    return inner().register_reader()->read_registers(vcpus);
  }
  bool usually_has(RegisterIndex reg) const override {
    return std::ranges::any_of(has_, [&](x86_64::Register each) { return RegisterIndex{each} == reg; });
  }

  const std::vector<x86_64::Register> has_;
};

TEST_F(TreeTest, VirtualMemory_NeedsControlRegisters) {
  using enum x86_64::Register;
  const std::pair<std::vector<x86_64::Register>, bool> cases[] = {{{rax, rip, cs_selector}, false},
                                                                  {{cr0, cr3, cr4}, false},
                                                                  {{cr0, cr4, efer, idt_base}, false},
                                                                  {{cr0, cr3, cr4, efer}, true},
                                                                  {{cr0, cr3, cr4, gdt_base}, true}};
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const std::string name = "vm" + std::to_string(i);
    auto few = std::make_unique<FewRegisters>(std::move(*FakeDriver::create({})), cases[i].first);
    ASSERT_TRUE(vms_.add(name, std::move(few), {}));
    EXPECT_EQ(find(name + "/vcpus/0/virt").has_value(), cases[i].second) << i;
    EXPECT_EQ(find(name + "/vcpus/0/virt_maps").has_value(), cases[i].second) << i;
    EXPECT_TRUE(find(name + "/vcpus/0/regs"));
  }
}

TEST_F(TreeTest, Vcpus_ComeAndGo_NodesFollow) {
  auto driver = std::move(*FakeDriver::create({.vcpus = 2, .holes = {}, .roms = {}, .bad = {}}));
  FakeDriver& fake = *driver;
  vm_ = *vms_.add("vm", std::move(driver), {});
  const Ino regs = ino_of("vm/vcpus/1/regs");
  auto open = tree_.open(regs, O_RDONLY);
  ASSERT_TRUE(open);
  fake.set_vcpus(VcpuSet::of({VcpuId{0}, VcpuId{3}}, "test").value());
  EXPECT_THAT(names("vm/vcpus"), ElementsAre("0", "3"));
  EXPECT_EQ(find("vm/vcpus/1").error().kind, ErrorKind::not_found);
  EXPECT_EQ(find("vm/vcpus/2").error().kind, ErrorKind::not_found);
  EXPECT_EQ(tree_.attributes(regs).error().kind, ErrorKind::vcpu_gone);
  EXPECT_EQ(tree_.open(regs, O_RDONLY).error().kind, ErrorKind::vcpu_gone);
  EXPECT_TRUE(tree_.open(ino_of("vm/vcpus/3/regs"), O_RDONLY));
  fake.set_vcpus(VcpuSet::first(2)); // plugged in again: it has its number again
  EXPECT_EQ(ino_of("vm/vcpus/1/regs"), regs);
  EXPECT_TRUE(tree_.attributes(regs));
}

TEST_F(TreeTest, LookUp_UnknownName_NotFoundAndNothingKept) {
  add({});
  static_cast<void>(ino_of("vm/vcpus/0"));
  const std::size_t inodes = tree_.inode_count();
  for (const char* const path : {"other", "vm/other", "vm/vcpus/1", "vm/vcpus/00", "vm/vcpus/+0", "vm/mem/x",
                                 "vm/vcpus/0/other", ".vmemfs/other", ".vmemfs/drivers/other"}) {
    EXPECT_EQ(find(path).error().kind, ErrorKind::not_found) << path;
  }
  EXPECT_LE(tree_.inode_count(), inodes + 3); // vm/mem, .vmemfs and .vmemfs/drivers exist
  EXPECT_EQ(tree_.look_up(12345, "vm").error().kind, ErrorKind::not_found);
}

TEST_F(TreeTest, Inodes_StableAndSameInListings) {
  add({});
  const Ino mem = ino_of("vm/mem");
  EXPECT_EQ(ino_of("vm/mem"), mem);
  tree_.forget(mem, 2);
  EXPECT_EQ(ino_of("vm/mem"), mem);
  EXPECT_EQ(stat_of("vm/mem").st_ino, mem);
  EXPECT_EQ(tree_.attributes(mem)->st_ino, mem);
  const auto listed = *tree_.list(ino_of("vm"));
  EXPECT_EQ(listed.front().ino, mem);
  EXPECT_FALSE(listed.front().is_directory);
  EXPECT_TRUE(listed.back().is_directory);
}

// ---- a VM leaves

TEST_F(TreeTest, VmLeft_KnownNodesAnswerGoneUntilForgotten) {
  add({});
  const Ino directory = ino_of("vm");
  const Ino mem = ino_of("vm/mem");
  vm_leaves();
  EXPECT_EQ(find("vm").error().kind, ErrorKind::not_found);
  EXPECT_EQ(tree_.attributes(mem).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(tree_.open(mem, O_RDONLY).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(tree_.list(directory).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(tree_.look_up(directory, "mem").error().kind, ErrorKind::vm_gone);
  tree_.forget(mem, 1);
  tree_.forget(directory, 2);
  EXPECT_EQ(tree_.attributes(mem).error().kind, ErrorKind::not_found);
  EXPECT_EQ(tree_.inode_count(), 1U);
}

TEST_F(TreeTest, VmLeft_EveryOpenFileAnswersGone) {
  add({});
  std::vector<std::shared_ptr<OpenFile>> files;
  for (const char* const path : kVmFiles) {
    files.emplace_back(std::move(tree_.open(ino_of(path), O_RDONLY).value()));
  }
  vm_leaves();
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(read_file(*files[i])->error(), ErrorKind::vm_gone) << kVmFiles[i];
  }
}

TEST_F(TreeTest, VmComesAgainUnderItsName_GetsNewNodes) {
  add({});
  const Ino directory = ino_of("vm");
  const Ino mem = ino_of("vm/mem");
  vm_leaves();
  add({});
  EXPECT_NE(ino_of("vm"), directory);
  EXPECT_NE(ino_of("vm/mem"), mem);
  EXPECT_TRUE(tree_.attributes(ino_of("vm/mem")));
  EXPECT_EQ(tree_.attributes(mem).error().kind, ErrorKind::vm_gone);
}

TEST_F(TreeTest, VmLeft_KernelRemembersItsNodes_VmIsDestroyed) {
  add({});
  static_cast<void>(ino_of("vm/vcpus/0/regs"));
  static_cast<void>(ino_of("vm/mem"));
  const std::weak_ptr<Vm> vm = vm_;
  vm_leaves();
  vm_.reset();
  EXPECT_TRUE(eventually([&] { return vm.expired(); }));
}

TEST_F(TreeTest, VmsComeAndGo_InodesDoNotGrow) {
  for (int i = 0; i < 20; ++i) {
    add({});
    const Ino directory = ino_of("vm");
    static_cast<void>(tree_.list(directory));
    vm_leaves();
    tree_.forget(directory, 1);
  }
  EXPECT_EQ(tree_.inode_count(), 1U);
}

// ---- traits and opening

TEST_F(TreeTest, GuestMemory_ListsTheFilesThatTheKernelKnows) {
  add({});
  EXPECT_THAT(tree_.guest_memory(vm_->id()), IsEmpty());
  const Ino mem = ino_of("vm/mem");
  const Ino padded = ino_of("vm/mem_padded");
  const Ino image = ino_of("vm/mem.lime");
  static_cast<void>(ino_of("vm/maps"));
  EXPECT_THAT(tree_.guest_memory(vm_->id()), ElementsAre(mem, padded, image));
}

TEST_F(TreeTest, Traits_OfEveryFile) {
  add({});
  for (const char* const path : {"vm/control", "vm/batch", "vm/vcpus/0/regs", ".vmemfs/control"}) {
    EXPECT_TRUE(tree_.traits(ino_of(path))->takes_commands) << path;
  }
  for (const char* const path : {"vm/mem", "vm/maps", "vm/info", ".vmemfs/stats", ".vmemfs/events", "vm"}) {
    EXPECT_FALSE(tree_.traits(ino_of(path))->takes_commands) << path;
  }
}

TEST_F(TreeTest, MemoryFile_HasTheSizeOfTheMemory) {
  add({}, {.size = 4U << 20U, .holes = {}, .roms = {}, .bad = {}});
  EXPECT_EQ(stat_of("vm/mem").st_size, 4 << 20);
}

TEST_F(TreeTest, VirtualMemory_HasNoSize) {
  add({.writable = true});
  EXPECT_EQ(stat_of("vm/vcpus/0/virt").st_size, 0);
  EXPECT_EQ(mode_of("vm/vcpus/0/virt"), S_IFREG | 0400U) << "takes no writes";
}

// du adds them up.
TEST_F(TreeTest, Blocks_AreNoMoreThanTheSizeHas) {
  add({});
  for (const char* const path :
       {"vm/mem", "vm/core", "vm/mem.lime", "vm/vcpus/0/virt", "vm/linux/vmlinux", "vm/linux/System.map"}) {
    const struct stat status = stat_of(path);
    EXPECT_LE(status.st_blocks, (status.st_size + 511) / 512) << path;
  }
}

TEST_F(TreeTest, Image_HasItsExactSize) {
  constexpr std::uint64_t kMiB = 1U << 20U;
  add({}, {.size = 4 * kMiB, .holes = {{Gpa{kMiB}, Gpa{2 * kMiB}}}, .roms = {}, .bad = {}});
  EXPECT_EQ(static_cast<std::uint64_t>(stat_of("vm/mem.lime").st_size), 3 * kMiB + 2 * 32);
  const std::shared_ptr<OpenFile> core = *tree_.open(ino_of("vm/core"), O_RDONLY);
  const auto size = static_cast<std::uint64_t>(stat_of("vm/core").st_size);
  EXPECT_EQ(size % kPageSize, 0U);
  EXPECT_EQ(read_file(*core, size - 8, 16)->bytes().size(), 8U);
}

/// Programs take a file of size 0 as empty.
TEST_F(TreeTest, Texts_HaveTheSizeThatIsRead) {
  add({});
  events_.append(EventKind::added, "vm", "fake");
  for (const char* const path : {"vm/maps", "vm/info", "vm/control", "vm/vcpus/0/regs", ".vmemfs/control",
                                 ".vmemfs/stats", ".vmemfs/events"}) {
    const struct stat status = stat_of(path);
    const std::shared_ptr<OpenFile> file = *tree_.open(ino_of(path), O_RDONLY);
    EXPECT_GT(status.st_size, 0) << path;
    EXPECT_EQ(status.st_blocks, (status.st_size + 511) / 512) << path;
    EXPECT_EQ(read_file(*file, 0, std::size_t{1} << 20U)->bytes().size(),
              static_cast<std::size_t>(status.st_size))
        << path;
  }
}

TEST_F(TreeTest, Open_EveryFile_Reads) {
  add({});
  for (const char* const path : kVmFiles) {
    auto file = tree_.open(ino_of(path), O_RDONLY);
    ASSERT_TRUE(file) << path;
    const std::shared_ptr<OpenFile> shared = std::move(*file);
    EXPECT_FALSE(read_file(*shared)->bytes().empty()) << path;
  }
  const std::shared_ptr<OpenFile> stats = *tree_.open(ino_of(".vmemfs/stats"), O_RDONLY);
  EXPECT_THAT(read_file(*stats)->bytes(), testing::StartsWith("stats\n"));
}

TEST_F(TreeTest, Open_ForWriting_RefusedIfTheFileTakesNoWrites) {
  add({});
  for (const char* const path : {"vm/mem", "vm/core", "vm/mem.lime", "vm/maps", "vm/info", "vm/vcpus/0/regs",
                                 "vm/vcpus/0/virt", ".vmemfs/stats"}) {
    EXPECT_EQ(open_error(path, O_RDWR), ErrorKind::read_only) << path;
  }
  EXPECT_TRUE(tree_.open(ino_of("vm/control"), O_WRONLY | O_TRUNC));
  EXPECT_TRUE(tree_.open(ino_of(".vmemfs/control"), O_WRONLY | O_TRUNC));
  ASSERT_TRUE(vm_->write_gate().set_writable(true));
  EXPECT_TRUE(tree_.open(ino_of("vm/mem"), O_RDWR));
  EXPECT_TRUE(tree_.open(ino_of("vm/vcpus/0/regs"), O_WRONLY | O_TRUNC));
  EXPECT_EQ(open_error("vm/mem", O_RDWR | O_TRUNC), ErrorKind::not_permitted);
  EXPECT_EQ(open_error("vm/mem", O_WRONLY | O_APPEND), ErrorKind::not_permitted);
  EXPECT_EQ(open_error("vm/mem.lime", O_RDWR), ErrorKind::read_only);
}

TEST_F(TreeTest, OpenAndList_OfTheWrongType_Invalid) {
  add({});
  EXPECT_EQ(open_error("vm", O_RDONLY), ErrorKind::invalid);
  EXPECT_EQ(tree_.list(ino_of("vm/mem")).error().kind, ErrorKind::invalid);
}

} // namespace
} // namespace vmemfs
