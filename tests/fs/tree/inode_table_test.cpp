// SPDX-License-Identifier: MIT
#include "fs/tree/inode_table.h"
#include "fs/tree/mount_node.h"

#include <array>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A node of a VM without a VM.
class StubFile : public File {
public:
  explicit StubFile(VmId vm, FileTraits traits = {}) : vm_{vm}, traits_{traits} {}

  Result<struct stat> attributes() const override { return node_attributes({}, S_IFREG, 0400); }
  VmId vm() const override { return vm_; }
  bool gone() const override { return is_gone; }
  const FileTraits& traits() const override { return traits_; }
  Result<std::unique_ptr<OpenFile>> open(int /*flags*/) const override {
    return fail(ErrorKind::unsupported, "test", "not opened here");
  }

  std::atomic<bool> is_gone{false};

private:
  const VmId vm_;
  const FileTraits traits_;
};

std::shared_ptr<StubFile> file_of(VmId vm) { return std::make_shared<StubFile>(vm); }
std::shared_ptr<StubFile> memory_of(VmId vm) {
  return std::make_shared<StubFile>(vm, FileTraits{.guest_memory = true});
}

class InodeTableTest : public testing::Test {
protected:
  InodeTable table_{file_of(Node::kMountNode)};
};

TEST_F(InodeTableTest, Root_IsAlwaysThere) {
  EXPECT_NE(table_.find(kRootIno), nullptr);
  table_.forget(kRootIno, 1000);
  EXPECT_NE(table_.find(kRootIno), nullptr);
  EXPECT_EQ(table_.find(0), nullptr);
  EXPECT_EQ(table_.find(2), nullptr);
}

TEST_F(InodeTableTest, SameNameOfSameVm_SameNumber) {
  const Ino ino = table_.look_up(kRootIno, "a", file_of(1));
  EXPECT_EQ(table_.look_up(kRootIno, "a", file_of(1)), ino);
  EXPECT_EQ(table_.number(kRootIno, "a", file_of(1)), ino);
  EXPECT_NE(table_.look_up(kRootIno, "b", file_of(2)), ino);
  EXPECT_NE(table_.look_up(ino, "a", file_of(1)), ino);
}

TEST_F(InodeTableTest, Forgotten_VmAttached_NumberStaysStable) {
  const Ino ino = table_.look_up(kRootIno, "a", file_of(1));
  table_.forget(ino, 1);
  EXPECT_EQ(table_.look_up(kRootIno, "a", file_of(1)), ino);
}

TEST_F(InodeTableTest, VmLeft_NumberStaysUntilEveryLookupIsForgotten) {
  const Ino ino = table_.look_up(kRootIno, "a", file_of(1));
  static_cast<void>(table_.look_up(kRootIno, "a", file_of(1)));
  table_.remove_vm(1);
  table_.forget(ino, 1);
  EXPECT_NE(table_.find(ino), nullptr);
  table_.forget(ino, 1);
  EXPECT_EQ(table_.find(ino), nullptr);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(InodeTableTest, VmLeft_OnlyListed_GoesAtOnce) {
  static_cast<void>(table_.number(kRootIno, "a", file_of(1)));
  static_cast<void>(table_.number(kRootIno, "b", file_of(2)));
  EXPECT_EQ(table_.size(), 3U);
  table_.remove_vm(1);
  EXPECT_EQ(table_.size(), 2U);
}

TEST_F(InodeTableTest, SameNameOfNextVm_NewNumberAndOldOneKeepsItsNode) {
  const auto first = file_of(1);
  const auto second = file_of(2);
  const Ino before = table_.look_up(kRootIno, "a", first);
  const Ino after = table_.look_up(kRootIno, "a", second); // the first one has not been removed yet
  EXPECT_NE(after, before);
  EXPECT_EQ(table_.find(before), first);
  EXPECT_EQ(table_.find(after), second);
  table_.remove_vm(1);
  EXPECT_EQ(table_.look_up(kRootIno, "a", file_of(2)), after);
  table_.forget(before, 1);
  EXPECT_EQ(table_.find(before), nullptr);
  EXPECT_EQ(table_.find(after), second);
}

TEST_F(InodeTableTest, NameRemoved_NextLookupHasANewNumberAndTheOldOneLastsUntilItIsForgotten) {
  const Ino first = table_.look_up(kRootIno, "a", file_of(1));
  table_.remove_name(first);
  const Ino second = table_.look_up(kRootIno, "a", file_of(1));
  EXPECT_NE(second, first);
  table_.remove_name(first);
  EXPECT_EQ(table_.number(kRootIno, "a", file_of(1)), second) << "the name is not that of the first any more";
  EXPECT_NE(table_.find(first), nullptr);
  EXPECT_TRUE(table_.forget(first, 1));
  EXPECT_EQ(table_.find(first), nullptr);
  table_.remove_name(first);
  table_.remove_name(kRootIno);
  EXPECT_NE(table_.find(kRootIno), nullptr);
  table_.remove_vm(1);
  table_.forget(second, 1);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(InodeTableTest, VmLeftDuringLookup_EntryDoesNotStay) {
  const auto late = file_of(1);
  late->is_gone = true;
  table_.remove_vm(1);
  static_cast<void>(table_.number(kRootIno, "a", late));
  EXPECT_EQ(table_.size(), 1U);
  const Ino ino = table_.look_up(kRootIno, "a", late);
  table_.forget(ino, 1);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(InodeTableTest, ForgetMoreThanLookedUp_NoHarm) {
  const Ino ino = table_.look_up(kRootIno, "a", file_of(1));
  table_.forget(ino, 5);
  table_.forget(ino + 100, 1);
  table_.remove_vm(1);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(InodeTableTest, NodesOfTheMount_AreNotRemoved) {
  const Ino ino = table_.look_up(kRootIno, ".vmemfs", file_of(Node::kMountNode));
  table_.forget(ino, 1);
  table_.remove_vm(Node::kMountNode);
  EXPECT_NE(table_.find(ino), nullptr);
}

TEST_F(InodeTableTest, GuestMemory_OnlyOfThatVmAndKnownToTheKernel) {
  const Ino mem = table_.look_up(kRootIno, "mem", memory_of(1));
  static_cast<void>(table_.number(kRootIno, "mem_padded", memory_of(1)));
  static_cast<void>(table_.look_up(kRootIno, "info", file_of(1)));
  static_cast<void>(table_.look_up(5, "mem", memory_of(2)));
  EXPECT_THAT(table_.guest_memory(1), ElementsAre(mem));
  table_.remove_vm(1); // the kernel still has pages
  EXPECT_THAT(table_.guest_memory(1), ElementsAre(mem));
  table_.forget(mem, 1);
  EXPECT_THAT(table_.guest_memory(1), IsEmpty());
}

// VMs come and go under their names while other threads look them up and forget them.
TEST_F(InodeTableTest, ManyThreads_EveryLookupForgotten_NothingStays) {
  constexpr int kRounds = 2'000;
  constexpr std::array kNames{"a", "b", "c"};
  std::atomic<VmId> current{1};
  std::atomic<bool> stop{false};
  std::array<std::shared_ptr<StubFile>, 64> files;
  for (VmId vm = 1; vm < files.size(); ++vm) {
    files[vm] = memory_of(vm);
  }
  std::thread leaving{[&] {
    for (VmId vm = 1; vm + 1 < files.size(); ++vm) {
      current = vm + 1;
      files[vm]->is_gone = true;
      table_.remove_vm(vm);
      std::this_thread::yield();
    }
    stop = true;
  }};
  const auto use = [&] {
    for (int i = 0; i < kRounds || !stop; ++i) {
      const VmId vm = current;
      const char* const name = kNames[static_cast<std::size_t>(i) % kNames.size()];
      const Ino ino = table_.look_up(kRootIno, name, files[vm]);
      const NodePtr node = table_.find(ino);
      ASSERT_NE(node, nullptr); // as long as it is not forgotten
      ASSERT_EQ(node->vm(), vm);
      static_cast<void>(table_.number(ino, "mem", files[vm]));
      static_cast<void>(table_.guest_memory(vm));
      table_.forget(ino, 1);
    }
  };
  std::array<std::thread, 4> users;
  for (std::thread& user : users) {
    user = std::thread{use};
  }
  for (std::thread& user : users) {
    user.join();
  }
  leaving.join();
  files.back()->is_gone = true;
  table_.remove_vm(static_cast<VmId>(files.size() - 1));
  EXPECT_EQ(table_.size(), 1U);
}

} // namespace
} // namespace vmemfs
