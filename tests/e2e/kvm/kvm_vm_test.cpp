// SPDX-License-Identifier: MIT
// The driver `kvm` in a mount: VMs of a VMM that knows nothing of vmemfs, and of QEMU as such a one.
#include "guests/tiny/layout.h"
#include "support/child_process.h"
#include "support/kvm/kvm_vmm.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <sys/ptrace.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using namespace kvm_vmm;

class KvmVm : public testing::Test {
protected:
  void SetUp() override {
    if (const auto why = why_no_kvm()) {
      GTEST_SKIP() << *why;
    }
  }
};

using Range = std::pair<std::uint64_t, std::uint64_t>;

/// The addresses of `maps` that have memory of any kind; neighbours are one range.
std::vector<Range> covered(const std::string& maps) {
  std::vector<Range> ranges;
  std::istringstream lines{maps};
  for (std::string line; std::getline(lines, line);) {
    const Range range{std::stoull(line, nullptr, 16),
                      std::stoull(line.substr(line.find('-') + 1), nullptr, 16)};
    if (!ranges.empty() && ranges.back().second == range.first) {
      ranges.back().second = range.second;
    } else {
      ranges.push_back(range);
    }
  }
  return ranges;
}

TEST_F(KvmVm, Memory_IsTheVmms) {
  for (const char* const memory : {"private", "memfd"}) {
    KvmVmm vmm{{.memory = memory}};
    Mount mount{{"--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
    vmm.command("stop");
    const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(mem) << mount.log();
    for (const Piece& piece : {kLow, kRom, kAbove}) {
      EXPECT_EQ(pread_at(mem.get(), piece.gpa, piece.size).bytes, vmm.truth(piece.gpa, piece.size)) << memory;
    }
    EXPECT_EQ(pread_at(mem.get(), kLow.size, 16).error, EIO);
    EXPECT_EQ(covered(read_file(mount / "vm/maps")),
              (std::vector<Range>{{kLow.gpa, kLow.size}, {kRom.gpa, kHigh + kAbove.size}}));
    EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("memory slots, read by a BPF iterator"));
  }
}

TEST_F(KvmVm, WhatIsWritten_TheGuestRuns) {
  KvmVmm vmm;
  Mount mount{{"--writable", "--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
  vmm.command("stop");
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  const std::vector<unsigned char> count{0x78, 0x56, 0x34, 0x12};
  ASSERT_EQ(::pwrite(mem.get(), count.data(), count.size(), kCounter), 4) << mount.log();
  vmm.command("go");
  EXPECT_TRUE(eventually([&] {
    const auto bytes = pread_at(mem.get(), kCounter, 4).bytes;
    return bytes.size() == 4 && bytes[3] == std::byte{0x12} && bytes[0] != std::byte{0x78};
  }));
  EXPECT_LT(::pwrite(mem.get(), count.data(), count.size(), static_cast<off_t>(kRom.gpa)), 0);
}

std::uint32_t counter(KvmVmm& vmm) {
  std::uint32_t value = 0;
  const auto bytes = vmm.truth(kCounter, sizeof(value));
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

bool guest_runs(KvmVmm& vmm) {
  const std::uint32_t before = counter(vmm);
  return eventually([&] { return counter(vmm) != before; });
}

TEST_F(KvmVm, RegistersAndPause_NeedNothingOfTheProgram) {
  KvmVmm vmm{{.vcpus = 2}};
  Mount mount{{"--writable", "--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
  EXPECT_THAT(read_file(mount / "vm/vcpus/1/regs"), HasSubstr("rbx 0x0000000000001001")) << mount.log();
  EXPECT_TRUE(guest_runs(vmm));
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  const std::uint32_t before = counter(vmm);
  EXPECT_EQ(counter(vmm), before);
  EXPECT_THAT(read_file(mount / "vm/control"), testing::StartsWith("state paused\n"));
  EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("paused_by vmemfs"));
  EXPECT_EQ(try_write(mount / "vm/control", "pause keep\n"), EOPNOTSUPP);
  EXPECT_EQ(try_write(mount / "vm/vcpus/0/regs", "rbx 0x77\n"), 0) << mount.log();
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(eventually([&] { return vmm.truth(kCounter + 8, 1).front() == std::byte{0x77}; }));
}

TEST_F(KvmVm, DaemonKilledDuringAPause_TheGuestRuns) {
  KvmVmm vmm;
  Mount mount{{"--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(counter(vmm), counter(vmm));
  mount.kill_daemon();
  EXPECT_TRUE(guest_runs(vmm));
}

TEST_F(KvmVm, DaemonKilledDuringAPauseByTheApi_TheGuestRuns) {
  KvmVmm vmm{{.api = "firecracker"}};
  Mount mount{{"--vm", fmt::format("vm=kvm:pid={},api={}", vmm.pid(), vmm.api_socket())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_THAT(read_file(mount / "vm/vcpus/0/regs"), HasSubstr("rbx 0x0000000000001000"));
  EXPECT_EQ(counter(vmm), counter(vmm));
  mount.kill_daemon();
  EXPECT_TRUE(guest_runs(vmm));
}

TEST_F(KvmVm, SlotThatIsPlugged_IsSeen) {
  KvmVmm vmm;
  Mount mount{{"--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
  vmm.command("plug");
  const UniqueFd mem{::open((mount / "vm/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto truth = vmm.truth(kPlugged.gpa, kPlugged.size);
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), kPlugged.gpa, kPlugged.size).bytes == truth; }));
  EXPECT_EQ(covered(read_file(mount / "vm/maps")).back().second, kPlugged.gpa + kPlugged.size);
  vmm.command("unplug");
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(pread_at(mem.get(), kAbove.gpa, 8));
    return covered(read_file(mount / "vm/maps")).back().second == kHigh + kAbove.size;
  }));
}

TEST_F(KvmVm, VmThatEnds_GivesNoSuchDevice) {
  KvmVmm vmm;
  Mount mount{{"--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_EQ(pread_at(mem.get(), 0, 8).bytes.size(), 8U) << mount.log();
  vmm.process().signal(SIGKILL);
  static_cast<void>(vmm.process().wait(std::chrono::seconds{30}));
  EXPECT_EQ(pread_at(mem.get(), 0, 8).error, ENODEV);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); }));
}

TEST_F(KvmVm, ProcessWithoutVm_IsNotFound) {
  KvmVmm vmm;
  Mount mount{{"--vm", fmt::format("vm=kvm:pid={}", vmm.pid())}};
  EXPECT_EQ(try_write(mount / ".vmemfs/control", fmt::format("attach other=kvm:pid={}\n", ::getpid())),
            ENOENT);
}

TEST_F(KvmVm, Check_TellsWhetherItCanBeReadAndStopped) {
  KvmVmm vmm{{.name = "any-vmm"}};
  const auto line = [&](const char* what) {
    return line_with(run({VMEMFS_PROGRAM, "check"}).text,
                     fmt::format("kvm {} (any-vmm) {}", vmm.pid(), what));
  };
  EXPECT_THAT(line("memory"), testing::StartsWith("yes"));
  EXPECT_THAT(line("registers"), testing::StartsWith("yes"));
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, vmm.pid(), nullptr, nullptr), 0);
  EXPECT_THAT(line("registers"), testing::AllOf(testing::StartsWith("no "),
                                                HasSubstr(fmt::format("process {} traces it", ::getpid()))));
}

/// Except that QEMU's own map calls some of it ROM which KVM lets the guest write.
TEST_F(KvmVm, QemusVm_HasTheMemoryThatTheDriverQemuHas) {
  GuestOptions options;
  options.accel = "kvm";
  options.fill = "page";
  QemuGuest guest{options};
  Mount mount{{"--vm", fmt::format("kvm=kvm:pid={}", guest.pid()), "--vm",
               fmt::format("qemu=qemu:pid={}", guest.pid())}};
  guest.pause();
  const auto ranges = covered(read_file(mount / "qemu/maps"));
  EXPECT_EQ(covered(read_file(mount / "kvm/maps")), ranges);
  const UniqueFd by_kvm{::open((mount / "kvm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const UniqueFd by_qemu{::open((mount / "qemu/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto end = static_cast<std::uint64_t>(64) << 20U;
  for (const auto& [begin, until] : ranges) {
    if (begin < end) { // the firmware below 4 GiB is not in `mem`
      EXPECT_TRUE(pread_at(by_kvm.get(), begin, until - begin).bytes ==
                  pread_at(by_qemu.get(), begin, until - begin).bytes)
          << fmt::format("{:#x}-{:#x}", begin, until);
    }
  }
}

TEST(Discovery, VmOfAnyProgram_ComesAndGoes_AndQemusAreQemus) {
  if (const auto why = why_no_kvm()) {
    GTEST_SKIP() << *why;
  }
  Mount mount{{}, Discover::on};
  {
    KvmVmm vmm{{.name = "any-vmm"}};
    EXPECT_TRUE(eventually([&] { return exists(mount / "any-vmm/mem"); })) << mount.log();
    EXPECT_THAT(read_file(mount / "any-vmm/info"), HasSubstr("\"kvm\""));
  }
  EXPECT_TRUE(eventually([&] { return !exists(mount / "any-vmm"); }));
  GuestOptions options;
  options.accel = "kvm";
  options.fill = "none";
  options.name = "a-qemu";
  QemuGuest guest{options};
  // Its memory slots may be found before its monitor; then it moves to the driver that knows more.
  EXPECT_TRUE(eventually([&] {
    return exists(mount / "a-qemu/info") && read_file(mount / "a-qemu/info").find("QMP") != std::string::npos;
  })) << mount.log();
}

} // namespace
} // namespace vmemfs::test
