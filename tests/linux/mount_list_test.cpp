// SPDX-License-Identifier: MIT
#include "linux/made_kernel.h"
#include "linux/mounts/mount_list.h"

#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using MountsAre = Made::MountsAre;

constexpr std::string_view kHeader = "ID\tPARENT\tDEVICE\tROOT\tMOUNTPOINT\tTYPE\tSOURCE\tOPTIONS\n";
constexpr std::string_view kDamaged =
    " mounts of process 1; the list changed while it was read, or is damaged\n";

/// A kernel with a process 1 and a mount namespace: 1 is the root, all others are in it or in one another.
class MountKernel : public MadeKernel {
public:
  static constexpr std::uint64_t kNamespace = 0xffff888000200000;
  static constexpr std::uint64_t kMounts = 0xffff888000300000;
  static constexpr std::uint64_t kFiles = 0xffff888000400000;
  static constexpr std::uint64_t kNames = 0xffff888000500000;

  explicit MountKernel(MountsAre form) : form_{form} {
    add(1, "init");
    constexpr std::uint64_t kProxy = 0xffff888000600000;
    constexpr std::uint64_t kFs = 0xffff888000601000;
    memory.write(task(0) + Made::Task::kNsproxy, kProxy);
    memory.write(task(0) + Made::Task::kFs, kFs);
    memory.write(kProxy + 8, kNamespace);
    memory.write_text(kNamespace, std::string(24, '\0'));
    add_mount("rootfs", "none", "/", 0, 0);
    memory.write(kFs + 8, mount(0) + Made::Mount::kInner);
    memory.write(kFs + 16, root(0));
  }

  static std::uint64_t mount(unsigned index) { return kMounts + std::uint64_t{0x100} * index; }
  /// The root directory of a mount's filesystem, and the directory in it that has the mount's name.
  static std::uint64_t root(unsigned index) { return kFiles + std::uint64_t{0x200} * index; }
  static std::uint64_t point(unsigned index) { return root(index) + 0x80; }
  static std::uint64_t filesystem(unsigned index) { return root(index) + 0x100; }
  static std::uint64_t node(unsigned index) { return mount(index) + Made::Mount::kNode; }

  /// Of type `type`, at `name` in the root directory of mount `parent`.
  void add_mount(std::string_view type, std::string_view source, std::string_view name, unsigned parent,
                 std::uint32_t flags) {
    const auto index = count_++;
    memory.write_text(mount(index), std::string(Made::Mount::kBytes, '\0'));
    memory.write(mount(index) + Made::Mount::kParent, mount(parent));
    memory.write(mount(index) + Made::Mount::kMountpoint, index == 0 ? root(0) : point(index));
    memory.write(mount(index) + Made::Mount::kRoot, root(index));
    memory.write(mount(index) + Made::Mount::kFilesystem, filesystem(index));
    memory.write(mount(index) + Made::Mount::kFlags, flags);
    memory.write(mount(index) + Made::Mount::kSource, text_at(source));
    memory.write(mount(index) + Made::Mount::kOwner, kNamespace);
    memory.write(mount(index) + Made::Mount::kId, std::uint32_t{20} + index);
    write_dentry(root(index), root(index), "/");
    write_dentry(point(index), root(parent), name);
    memory.write(filesystem(index) + Made::Filesystem::kDevice, std::uint32_t{(8U << 20U) + index});
    memory.write(filesystem(index) + Made::Filesystem::kFlags, std::uint64_t{0});
    const std::uint64_t type_at = text_at(type);
    memory.write(filesystem(index) + Made::Filesystem::kType, filesystem(index) + 0x40);
    memory.write(filesystem(index) + Made::Filesystem::kSubtype, std::uint64_t{0});
    memory.write(filesystem(index) + 0x40, type_at);
    link_mounts();
  }
  void write_dentry(std::uint64_t at, std::uint64_t parent, std::string_view name) {
    memory.write(at + Made::Dentry::kHash, std::uint64_t{1});
    memory.write(at + Made::Dentry::kParent, parent);
    memory.write(at + Made::Dentry::kNameLength, static_cast<std::uint32_t>(name.size()));
    memory.write(at + Made::Dentry::kName, text_at(name));
  }
  std::uint64_t text_at(std::string_view text) {
    const std::uint64_t at = kNames + names_;
    memory.write_text(at, std::string{text} + '\0');
    names_ += text.size() + 1;
    memory.write(kNames + names_ + 64, std::uint64_t{0}); // strings are read some bytes further
    return at;
  }
  [[nodiscard]] std::string list() { return text(mount_list, form_); }

  /// Elements that point to each other, or a tree in which each is the right one of that before it but for
  /// the third, which has the second on its left.
  void link_mounts() {
    if (form_ == MountsAre::list) {
      std::uint64_t before = kNamespace + 8;
      for (unsigned i = 0; i < count_; ++i) {
        link(before, node(i));
        before = node(i);
      }
      link(before, kNamespace + 8);
      return;
    }
    memory.write(kNamespace + 8, node(0));
    write_node(0, 0, 0, count_ > 2 ? node(2) : (count_ > 1 ? node(1) : 0));
    for (unsigned i = 1; i < count_; ++i) {
      const bool below_third = i == 1 && count_ > 2;
      write_node(i, below_third ? node(2) : (i == 2 ? node(0) : node(i - 1)), i == 2 ? node(1) : 0,
                 i > 1 && i + 1 < count_ ? node(i + 1) : 0);
    }
  }
  void write_node(unsigned index, std::uint64_t parent, std::uint64_t left, std::uint64_t right) {
    memory.write(node(index), parent | 1U); // black
    memory.write(node(index) + 8, right);
    memory.write(node(index) + 16, left);
  }
  void link(std::uint64_t before, std::uint64_t after) {
    memory.write(before, after);
    memory.write(after + 8, before);
  }

private:
  const MountsAre form_;
  unsigned count_ = 0;
  std::uint64_t names_ = 0;
};

class MountList : public testing::TestWithParam<MountsAre> {
protected:
  MountKernel kernel{GetParam()};
};

TEST_P(MountList, MountsInMounts_ARowEach) {
  kernel.add_mount("proc", "proc", "proc", 0, 0x27);
  kernel.add_mount("fuse", "a\tb", "mnt", 0, 0x48);
  kernel.add_mount("nsfs", "", "x y", 2, 0);
  kernel.memory.write(MountKernel::filesystem(2) + Made::Filesystem::kSubtype, kernel.text_at("sshfs"));
  kernel.memory.write(MountKernel::filesystem(3) + Made::Filesystem::kFlags, std::uint64_t{0x2000011});
  EXPECT_EQ(kernel.list(), std::string{kHeader} +
                               "20\t20\t8:0\t/\t/\trootfs\tnone\trw\n"
                               "21\t20\t8:1\t/\t/proc\tproc\tproc\trw,nosuid,nodev,noexec,relatime\n"
                               "22\t20\t8:2\t/\t/mnt\tfuse.sshfs\ta\\x09b\tro,noatime\n"
                               "23\t22\t8:3\t?\t/mnt/x y\tnsfs\t-\tro,sync,lazytime\n"
                               "# complete: 4 mounts of process 1\n");
}

TEST_P(MountList, RootIsADirectory_PathWithinTheFilesystem) {
  kernel.add_mount("ext4", "/dev/vda", "data", 0, 0);
  constexpr std::uint64_t kDirectory = MountKernel::kFiles + 0x10000;
  kernel.write_dentry(kDirectory, MountKernel::root(1), "gone");
  kernel.memory.write(kDirectory + Made::Dentry::kHash, std::uint64_t{0});
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kRoot, kDirectory);
  EXPECT_THAT(kernel.list(), HasSubstr("21\t20\t8:1\t/gone//deleted\t/data\text4\t/dev/vda\trw\n"));
}

TEST_P(MountList, ProcessOneInAnotherRoot_OnlyWhatIsBelow) {
  kernel.add_mount("ext4", "/dev/vda", "new", 0, 0);
  kernel.add_mount("proc", "proc", "proc", 1, 0);
  kernel.memory.write(std::uint64_t{0xffff888000601008}, MountKernel::mount(1) + Made::Mount::kInner);
  kernel.memory.write(std::uint64_t{0xffff888000601010}, MountKernel::root(1));
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "21\t20\t8:1\t/\t/\text4\t/dev/vda\trw\n"
                                                  "22\t21\t8:2\t/\t/proc\tproc\tproc\trw\n"
                                                  "# complete: 2 mounts of process 1\n");
}

TEST_P(MountList, MountOfAnotherNamespace_SaidAsIncomplete) {
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kOwner, std::uint64_t{1});
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "20\t20\t8:0\t/\t/\trootfs\tnone\trw\n# incomplete: 1" +
                               std::string{kDamaged});
}

TEST_P(MountList, WildPointers_QuestionMarks) {
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kParent, std::uint64_t{0x1000});
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kFilesystem, std::uint64_t{0xdead000000000000});
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kRoot, std::uint64_t{8});
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kSource, ~std::uint64_t{0});
  EXPECT_THAT(kernel.list(), HasSubstr("21\t?\t?\t?\t?\t?\t?\t?\n# complete: 2 mounts"));
}

TEST_P(MountList, NamesInACircle_QuestionMarks) {
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  constexpr std::uint64_t kLoop = MountKernel::kFiles + 0x10000;
  kernel.write_dentry(kLoop, kLoop + 0x80, "a");
  kernel.write_dentry(kLoop + 0x80, kLoop, "b");
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kMountpoint, kLoop);
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kRoot, kLoop);
  EXPECT_THAT(kernel.list(), HasSubstr("21\t20\t8:1\t?\t?\tproc\tproc\trw\n"));
}

TEST_P(MountList, MountThatGoesWhileItIsRead_OthersAreComplete) {
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  kernel.add_mount("tmpfs", "tmpfs", "tmp", 0, 0);
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MountKernel::mount(2) && ++reads == 2) { // of the second time that all is read
      kernel.memory.write(MountKernel::filesystem(2) + Made::Filesystem::kFlags, std::uint64_t{1});
    }
  };
  const std::string list = kernel.list();
  EXPECT_THAT(list, HasSubstr("\ttmpfs\ttmpfs\tro\n"));
  EXPECT_THAT(list, EndsWith("# complete: 3 mounts of process 1\n"));
}

TEST_P(MountList, MountThatAlwaysChanges_ItIsNotShown) {
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  std::uint32_t changes = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MountKernel::mount(1)) {
      kernel.memory.write(MountKernel::mount(1) + Made::Mount::kId, ++changes);
    }
  };
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "20\t20\t8:0\t/\t/\trootfs\tnone\trw\n# incomplete: 1" +
                               std::string{kDamaged});
}

TEST_P(MountList, ProcessOneIsAnother_NoRow) {
  kernel.memory.write(MadeKernel::task(0) + Made::Task::kPid, std::uint32_t{2});
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "# incomplete: 0" + std::string{kDamaged});
}

INSTANTIATE_TEST_SUITE_P(Kernels, MountList, testing::Values(MountsAre::list, MountsAre::tree),
                         [](const auto& form) { return form.param == MountsAre::list ? "list" : "tree"; });

TEST(MountListOfAList, ReaderOfMountinfoInTheList_IsNoMount) {
  MountKernel kernel{MountsAre::list};
  kernel.add_mount("proc", "proc", "proc", 0, 0x10000000);
  kernel.memory.write(MountKernel::mount(1) + Made::Mount::kOwner, std::uint64_t{0});
  EXPECT_THAT(kernel.list(), EndsWith("# complete: 1 mounts of process 1\n"));
}

TEST(MountListOfAList, ListThatNeverEnds_SaidAsIncomplete) {
  MountKernel kernel{MountsAre::list};
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  kernel.add_mount("tmpfs", "tmpfs", "tmp", 0, 0);
  kernel.link(MountKernel::node(2), MountKernel::node(1));
  kernel.memory.write(MountKernel::node(1) + 8, MountKernel::node(0));
  EXPECT_THAT(kernel.list(), EndsWith("# incomplete: 3" + std::string{kDamaged}));
}

TEST(MountListOfAList, WrongBackPointer_SaidAsIncomplete) {
  MountKernel kernel{MountsAre::list};
  kernel.add_mount("proc", "proc", "proc", 0, 0);
  kernel.memory.write(MountKernel::node(1) + 8, MountKernel::node(1));
  EXPECT_THAT(kernel.list(), EndsWith("# incomplete: 1" + std::string{kDamaged}));
}

class MountTree : public testing::Test {
protected:
  MountTree() {
    kernel.add_mount("proc", "proc", "proc", 0, 0);
    kernel.add_mount("tmpfs", "tmpfs", "tmp", 0, 0);
    kernel.add_mount("sysfs", "sysfs", "sys", 0, 0);
  }
  MountKernel kernel{MountsAre::tree};
};

TEST_F(MountTree, Shape_InOrder) {
  EXPECT_THAT(kernel.list(), EndsWith("# complete: 4 mounts of process 1\n"));
}

TEST_F(MountTree, WrongParent_SaidAsIncomplete) {
  kernel.write_node(3, MountKernel::node(1), 0, 0);
  EXPECT_THAT(kernel.list(), EndsWith("# incomplete: 3" + std::string{kDamaged}));
}

TEST_F(MountTree, NodeTwice_SaidAsIncomplete) {
  kernel.write_node(2, MountKernel::node(0), MountKernel::node(1), MountKernel::node(1));
  EXPECT_THAT(kernel.list(), EndsWith("# incomplete: 3" + std::string{kDamaged}));
}

TEST_F(MountTree, Circle_SaidAsIncomplete) {
  kernel.write_node(3, MountKernel::node(2), 0, MountKernel::node(0));
  EXPECT_THAT(kernel.list(), EndsWith("# incomplete: 4" + std::string{kDamaged}));
}

TEST_F(MountTree, TooHigh_SaidAsIncomplete) {
  // Each has the next one on its left, which no balanced tree does.
  MountKernel high{MountsAre::tree};
  constexpr unsigned kHigh = 70;
  for (unsigned i = 1; i < kHigh; ++i) {
    high.add_mount("tmpfs", "t", "d" + std::to_string(i), 0, 0);
  }
  for (unsigned i = 0; i < kHigh; ++i) {
    high.write_node(i, i == 0 ? 0 : MountKernel::node(i - 1), i + 1 < kHigh ? MountKernel::node(i + 1) : 0,
                    0);
  }
  EXPECT_EQ(high.list(), std::string{kHeader} + "# incomplete: 0" + std::string{kDamaged});
}

} // namespace
} // namespace vmemfs
