// SPDX-License-Identifier: MIT
// The BPF program, loaded into this kernel, on real VMs.
#include "core/gpa.h"
#include "drivers/kvm/walk/load_error.h"
#include "drivers/kvm/walk/vm_walk.h"
#include "support/kvm/kvm_vmm.h"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::kvm {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using namespace test::kvm_vmm;

class VmWalkTest : public testing::Test {
protected:
  void SetUp() override {
    if (const auto why = test::why_no_kvm()) {
      GTEST_SKIP() << *why;
    }
    if (walk_ == nullptr) {
      auto loaded = VmWalk::load();
      ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
      walk_ = std::move(*loaded);
    }
  }

  VmKey only_vm_of(pid_t pid) {
    const auto vms = walk_->list_of(pid);
    EXPECT_TRUE(vms.has_value() && vms->size() == 1) << (vms ? "" : vms.error().message());
    return vms && !vms->empty() ? vms->front().key : 0;
  }

  VmSlots slots_of(pid_t pid) {
    auto slots = walk_->slots_of(pid, only_vm_of(pid));
    EXPECT_TRUE(slots.has_value()) << slots.error().message();
    return slots ? std::move(*slots) : VmSlots{};
  }

  inline static std::unique_ptr<VmWalk> walk_; ///< of all tests, as loading takes a while
};

bool is(const Slot& slot, const Piece& piece) {
  return slot.gfn == piece.gpa / kPageSize && slot.pages == piece.size / kPageSize && slot.hva != 0;
}

TEST_F(VmWalkTest, SlotsAndVcpus_AreThoseOfTheVmm) {
  test::KvmVmm vmm;
  const VmSlots found = slots_of(vmm.pid());
  std::vector<Slot> slots = found.slots;
  std::erase_if(slots, [](const Slot& slot) { return slot.id >= 32764; }); // KVM's own
  ASSERT_THAT(slots, SizeIs(3));
  EXPECT_TRUE(is(slots[0], kLow));
  EXPECT_TRUE(is(slots[1], kRom));
  EXPECT_TRUE(is(slots[2], kAbove));
  EXPECT_EQ(slots[0].flags, 0U);
  EXPECT_EQ(slots[1].flags, std::uint32_t{KVM_MEM_READONLY});
  EXPECT_EQ(slots[2].hva, slots[0].hva + kLow.size);
  ASSERT_THAT(found.vcpus, SizeIs(1));
  EXPECT_EQ(found.vcpus[0].id, 0U);
  EXPECT_NE(found.vcpus[0].thread, vmm.pid());
}

TEST_F(VmWalkTest, PluggedSlot_ChangesTheGeneration) {
  test::KvmVmm vmm;
  const VmSlots before = slots_of(vmm.pid());
  vmm.command("plug");
  const VmSlots plugged = slots_of(vmm.pid());
  EXPECT_NE(plugged.generation, before.generation);
  ASSERT_THAT(plugged.slots, SizeIs(before.slots.size() + 1));
  EXPECT_TRUE(std::ranges::any_of(plugged.slots, [](const Slot& slot) { return is(slot, kPlugged); }));
  vmm.command("unplug");
  EXPECT_THAT(slots_of(vmm.pid()).slots, SizeIs(before.slots.size()));
}

TEST_F(VmWalkTest, MoreSlotsThanAWalkHas_AreAllListed) {
  constexpr unsigned kMore = 1500;
  test::KvmVmm vmm{{.more_slots = kMore}};
  const VmSlots found = slots_of(vmm.pid());
  const auto more = std::ranges::count_if(
      found.slots, [](const Slot& slot) { return slot.gfn >= 2 * kHigh / kPageSize && slot.pages == 1; });
  EXPECT_EQ(more, kMore);
  EXPECT_TRUE(std::ranges::is_sorted(found.slots, {}, &Slot::gfn));
}

TEST_F(VmWalkTest, SlotsThatKeepChanging_AreNeverMixed) {
  test::KvmVmm vmm{{.more_slots = 600}}; // two walks
  const std::size_t without = slots_of(vmm.pid()).slots.size();
  std::jthread changes{[&](const std::stop_token& stop) {
    for (bool plugged = false; !stop.stop_requested(); plugged = !plugged) {
      vmm.command(plugged ? "unplug" : "plug");
    }
  }};
  const VmKey vm = only_vm_of(vmm.pid());
  for (int i = 0; i < 100; ++i) {
    const auto found = walk_->slots_of(vmm.pid(), vm);
    if (found) {
      EXPECT_TRUE(found->slots.size() == without || found->slots.size() == without + 1);
    } else {
      EXPECT_EQ(found.error().kind, ErrorKind::busy);
    }
  }
}

TEST_F(VmWalkTest, AllVms_AreListedWithTheirProcesses) {
  test::KvmVmm one;
  test::KvmVmm two;
  const auto all = walk_->list_all();
  ASSERT_TRUE(all.has_value()) << all.error().message();
  for (const pid_t pid : {one.pid(), two.pid()}) {
    const auto found = std::ranges::find(*all, pid, &ListedVm::process);
    ASSERT_NE(found, all->end());
    EXPECT_EQ(found->key, only_vm_of(pid));
  }
}

TEST_F(VmWalkTest, ProcessesWithoutVms_HaveNone) {
  const auto own = walk_->list_of(::getpid());
  ASSERT_TRUE(own.has_value()) << own.error().message();
  EXPECT_THAT(*own, IsEmpty());
  pid_t ended = 0;
  {
    test::KvmVmm vmm;
    ended = vmm.pid();
  }
  const auto none = walk_->list_of(ended);
  ASSERT_TRUE(none.has_value()) << none.error().message();
  EXPECT_THAT(*none, IsEmpty());
  EXPECT_EQ(walk_->slots_of(ended, 1).error().kind, ErrorKind::not_found);
  EXPECT_EQ(walk_->slots_of(::getpid(), 1).error().kind, ErrorKind::not_found);
}

/// A process that was given the VM's file: it has none of its memory.
TEST_F(VmWalkTest, FilesOfAnotherProcessesVm_MakeNoOwner) {
  const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  const int vm = ::ioctl(kvm, KVM_CREATE_VM, 0);
  ASSERT_GE(vm, 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::pause();
    ::_exit(0);
  }
  EXPECT_THAT(walk_->list_of(::getpid()).value(), SizeIs(1));
  EXPECT_THAT(walk_->list_of(child).value(), IsEmpty());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(vm);
  ::close(kvm);
}

/// As the daemon walks: the program was loaded before.
TEST_F(VmWalkTest, WalksTakeNoRights) {
  test::KvmVmm vmm;
  const VmKey vm = only_vm_of(vmm.pid());
  const pid_t child = ::fork();
  if (child == 0) {
    const bool dropped = ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0;
    ::_exit(dropped && !may_load() && walk_->list_all() && walk_->slots_of(vmm.pid(), vm) ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(VmWalkTest, WithoutRights_LoadNamesThem) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool dropped = ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0;
    const auto loaded = VmWalk::load();
    const bool good = dropped && !loaded && loaded.error().kind == ErrorKind::permission &&
                      loaded.error().text.find("CAP_BPF") != std::string::npos;
    ::_exit(good ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

} // namespace
} // namespace vmemfs::kvm
