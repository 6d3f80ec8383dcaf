// SPDX-License-Identifier: MIT
#include "drivers/fake/fake_driver.h"
#include "fs/fuse/tree.h"
#include "util/worker.h"
#include "vm/attacher.h"
#include "vm/cache_budget.h"
#include "vm/event_log.h"
#include "vm/vm_finder.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

constexpr uid_t kMounter = 1000;
constexpr gid_t kMountersGroup = 1001;

/// A tree of one VM.
class TreeTest : public testing::Test {
protected:
  // No job may run on objects that are being destroyed.
  ~TreeTest() override {
    jobs_.stop();
    notifier_.stop();
  }

  void add(VmOptions options) { vm_ = *vms_.add("vm", std::move(*FakeDriver::create({})), options); }
  [[nodiscard]] struct stat stat_of(NodeKind kind) const {
    const VmId vm = kind == NodeKind::root || is_mount_node(kind) ? 0 : vm_->id();
    return tree_.attributes({kind, vm, {}}).value();
  }
  [[nodiscard]] mode_t mode_of(NodeKind kind) const { return stat_of(kind).st_mode; }

  Worker notifier_;
  Worker jobs_;
  Worker ahead_;
  CacheBudget budget_{1U << 20U};
  VmRegistry vms_{{.notifier = notifier_,
                   .jobs = jobs_,
                   .prefetch_jobs = ahead_,
                   .slow_prefetch_jobs = ahead_,
                   .cache_budget = budget_}};
  VmOptionsTable options_;
  Attacher attacher_{{}, vms_, options_};
  VmFinder finder_{{}, {}, attacher_, {}, {}};
  EventLog events_;
  std::shared_ptr<EventReaders> readers_ = EventReaders::create(events_);
  MountDirectory own_{{.drivers = {},
                       .vms = vms_,
                       .attacher = attacher_,
                       .finder = finder_,
                       .events = *readers_,
                       .stats = [] { return std::string{}; }}};
  Tree tree_{vms_, own_, {kMounter, kMountersGroup}};
  Tree open_tree_{vms_, own_, {kMounter, kMountersGroup, TreeOptions::kRootForAll}};
  std::shared_ptr<Vm> vm_;
};

constexpr NodeKind kVmFiles[] = {NodeKind::mem,  NodeKind::mem_padded, NodeKind::maps,
                                 NodeKind::info, NodeKind::control,    NodeKind::regs};
constexpr NodeKind kVmDirectories[] = {NodeKind::vm_dir, NodeKind::vcpus_dir, NodeKind::vcpu_dir};

TEST_F(TreeTest, WithoutOwnerAndMode_OnlyTheMounterHasAccess) {
  add({});
  for (const NodeKind kind : kVmFiles) {
    EXPECT_EQ(mode_of(kind), S_IFREG | (kind == NodeKind::control ? 0600U : 0400U));
    EXPECT_EQ(stat_of(kind).st_uid, kMounter);
    EXPECT_EQ(stat_of(kind).st_gid, kMountersGroup);
  }
  for (const NodeKind kind : kVmDirectories) {
    EXPECT_EQ(mode_of(kind), S_IFDIR | 0500U);
    EXPECT_EQ(stat_of(kind).st_uid, kMounter);
  }
}

TEST_F(TreeTest, FilesOfAVm_HaveItsOwner) {
  add({.rights = {.owner = 7, .group = 8, .mode = 0640}});
  for (const NodeKind kind : kVmFiles) {
    EXPECT_EQ(mode_of(kind), S_IFREG | (kind == NodeKind::control ? 0640U : 0440U));
    EXPECT_EQ(stat_of(kind).st_uid, 7U);
    EXPECT_EQ(stat_of(kind).st_gid, 8U);
  }
  for (const NodeKind kind : kVmDirectories) {
    EXPECT_EQ(mode_of(kind), S_IFDIR | 0550U);
    EXPECT_EQ(stat_of(kind).st_uid, 7U);
    EXPECT_EQ(stat_of(kind).st_gid, 8U);
  }
}

TEST_F(TreeTest, OwnerAndGroup_AreIndependent) {
  add({.rights = {.owner = {}, .group = 8, .mode = 0660}});
  EXPECT_EQ(stat_of(NodeKind::mem).st_uid, kMounter);
  EXPECT_EQ(stat_of(NodeKind::mem).st_gid, 8U);
}

TEST_F(TreeTest, WriteBits_FollowWritability) {
  add({.writable = true, .rights = {.owner = {}, .group = {}, .mode = 0664}});
  for (const NodeKind kind : {NodeKind::mem, NodeKind::mem_padded, NodeKind::regs, NodeKind::control}) {
    EXPECT_EQ(mode_of(kind), S_IFREG | 0664U);
  }
  EXPECT_EQ(mode_of(NodeKind::maps), S_IFREG | 0444U);
  EXPECT_EQ(mode_of(NodeKind::info), S_IFREG | 0444U);
  EXPECT_EQ(mode_of(NodeKind::vm_dir), S_IFDIR | 0555U);
  ASSERT_TRUE(vm_->set_writable(false));
  EXPECT_EQ(mode_of(NodeKind::mem), S_IFREG | 0444U);
  EXPECT_EQ(mode_of(NodeKind::control), S_IFREG | 0664U);
}

TEST_F(TreeTest, WriteOnlyMode_DoesNotAllowEntering) {
  add({.writable = true, .rights = {.owner = {}, .group = {}, .mode = 0620}});
  EXPECT_EQ(mode_of(NodeKind::mem), S_IFREG | 0620U);
  EXPECT_EQ(mode_of(NodeKind::vm_dir), S_IFDIR | 0500U);
}

TEST_F(TreeTest, OtherModeBits_AreIgnored) {
  add({.writable = true, .rights = {.owner = {}, .group = {}, .mode = 07777}});
  EXPECT_EQ(mode_of(NodeKind::mem), S_IFREG | 0666U);
}

TEST_F(TreeTest, RootAndMountDirectory_AlwaysBelongToTheMounter) {
  add({.rights = {.owner = 7, .group = 8, .mode = 0666}});
  for (const NodeKind kind : {NodeKind::root, NodeKind::mount_directory, NodeKind::drivers_dir}) {
    EXPECT_EQ(mode_of(kind), S_IFDIR | 0500U);
    EXPECT_EQ(stat_of(kind).st_uid, kMounter);
  }
  EXPECT_EQ(mode_of(NodeKind::mount_control), S_IFREG | 0600U);
  EXPECT_EQ(mode_of(NodeKind::driver_file), S_IFREG | 0400U);
  EXPECT_EQ(open_tree_.attributes({NodeKind::root, 0, {}})->st_mode, S_IFDIR | 0555U);
  EXPECT_EQ(open_tree_.attributes({NodeKind::mount_directory, 0, {}})->st_mode, S_IFDIR | 0500U);
}

} // namespace
} // namespace vmemfs
