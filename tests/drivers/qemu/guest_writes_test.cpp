// SPDX-License-Identifier: MIT
// Writes to the memory of real guests, checked by the guest itself and by QEMU's monitor.
#include "drivers/qemu/gdbstub/gdb_memory.h"
#include "drivers/qemu/monitor/monitor.h"
#include "guests/tiny/layout.h"
#include "support/gdb/gdb_client.h"
#include "support/processes.h"
#include "tests/drivers/qemu/attached_guest.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <random>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;
using test::GuestOptions;

constexpr std::uint64_t kFree = 0x1800000; ///< filled once by the guest, which does not read it again

std::vector<std::byte> bytes_of(std::uint64_t value) {
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::vector<std::byte> random_bytes(std::size_t size) {
  static std::mt19937 random{1};
  std::vector<std::byte> bytes(size);
  std::ranges::generate(bytes, [] { return static_cast<std::byte>(random()); });
  return bytes;
}

std::string reported(const char* name, std::uint64_t value) {
  return fmt::format("{} {:#018x}", name, value);
}

void expect_written(const WriteOutcome& outcome, std::size_t size) {
  EXPECT_EQ(outcome.done, size);
  EXPECT_FALSE(outcome.failure) << outcome.failure->message();
}

void expect_refused(const WriteOutcome& outcome, ErrorKind kind, std::size_t done = 0) {
  EXPECT_EQ(outcome.done, done);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, kind) << outcome.failure->message();
  EXPECT_FALSE(outcome.failure->text.empty());
}

bool have_kvm() { return UniqueFd{::open("/dev/kvm", O_RDWR | O_CLOEXEC)}.get() >= 0; }

struct Backing {
  std::string accel;
  std::string ram; ///< private, memfd or file
};

void PrintTo(const Backing& backing, std::ostream* out) { *out << backing.accel << " " << backing.ram; }

class GuestWrites : public testing::TestWithParam<Backing> {
protected:
  void SetUp() override {
    if (GetParam().accel == "kvm" && !have_kvm()) {
      GTEST_SKIP() << "no usable /dev/kvm on this machine";
    }
    GuestOptions options;
    options.accel = GetParam().accel;
    options.fill = "none";
    options.idle = false;
    if (GetParam().ram != "private") {
      options.machine = "pc,memory-backend=m0";
      options.extra = {"-object",
                       GetParam().ram == "memfd"
                           ? "memory-backend-memfd,id=m0,size=64M,share=on"
                           : "memory-backend-file,id=m0,size=64M,share=on,mem-path=" + (dir_ / "ram")};
    }
    vm_ = std::make_unique<AttachedGuest>(options);
  }

  test::QemuGuest& guest() { return vm_->guest(); }
  WriteOutcome write(std::uint64_t gpa, std::span<const std::byte> bytes) { return vm_->write(gpa, bytes); }

  test::TempDir dir_;
  std::unique_ptr<AttachedGuest> vm_;
};

TEST_P(GuestWrites, RunningGuest_SeesDataAndCode) {
  for (std::uint64_t i = 1; i <= 3; ++i) {
    expect_written(write(TG_INFO_GPA + TG_INFO_OFF_ECHO, bytes_of(0x1000 + i)), 8);
    EXPECT_TRUE(guest().wait_for_serial(reported("echo", 0x1000 + i)));
    expect_written(write(TG_CODE_IMM_GPA, bytes_of(0x2000 + i)), 8);
    EXPECT_TRUE(guest().wait_for_serial(reported("code", 0x2000 + i)));
    EXPECT_TRUE(guest().running());
  }
}

TEST_P(GuestWrites, PausedGuest_SeesWritesAfterResume) {
  guest().pause();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    expect_written(write(TG_INFO_GPA + TG_INFO_OFF_ECHO, bytes_of(0x3000 + i)), 8);
    expect_written(write(TG_CODE_IMM_GPA, bytes_of(0x4000 + i)), 8);
    EXPECT_FALSE(guest().running());
  }
  EXPECT_EQ(guest().pmemsave(TG_CODE_IMM_GPA, 8), bytes_of(0x4003));
  std::this_thread::sleep_for(50ms);
  EXPECT_THAT(guest().serial(), testing::Not(testing::HasSubstr("echo")));
  guest().resume();
  EXPECT_TRUE(guest().wait_for_serial(reported("echo", 0x3003)));
  EXPECT_TRUE(guest().wait_for_serial(reported("code", 0x4003)));
}

TEST_P(GuestWrites, AnyAddressAndSize_WritesExactBytes) {
  guest().pause();
  constexpr std::uint64_t kArea = 16 << 10;
  auto expected = guest().pmemsave(kFree, kArea);
  for (const std::size_t size : {1U, 2U, 7U, 8U, 1983U, 1984U, 1985U, 4095U, 4096U, 4097U, 5000U}) {
    for (const std::uint64_t offset : {0U, 1U, 4095U, 4093U, 8191U}) {
      const auto bytes = random_bytes(size);
      expect_written(write(kFree + offset, bytes), size);
      std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    ASSERT_EQ(guest().pmemsave(kFree, kArea), expected) << size;
  }
  EXPECT_FALSE(guest().running());
}

TEST_P(GuestWrites, LargerThanOneVisit_IsWritten) {
  for (const bool paused : {false, true}) {
    if (paused) {
      guest().pause();
    }
    const auto bytes = random_bytes((100 << 10) + 13);
    expect_written(write(kFree + 5, bytes), bytes.size());
    EXPECT_EQ(guest().pmemsave(kFree + 5, bytes.size()), bytes);
    EXPECT_EQ(guest().running(), !paused);
  }
}

TEST_P(GuestWrites, RomAndHoles_AreRefused) {
  guest().pause();
  const auto map = vm_->driver().memory_map();
  const auto bytes = random_bytes(64);
  int roms = 0;
  for (const Region& region : map->regions()) {
    if (!region.writable) {
      const auto before = guest().pmemsave(region.range.begin.value(), 64);
      expect_refused(write(region.range.begin.value(), bytes), ErrorKind::read_only);
      EXPECT_EQ(guest().pmemsave(region.range.begin.value(), 64), before);
      ++roms;
    }
  }
  EXPECT_GT(roms, 0);
  expect_refused(write(map->ram_end().value(), bytes), ErrorKind::hole);
  expect_refused(write(kGpaLimit - 4096, bytes), ErrorKind::hole);
  // Bytes before the border are written.
  expect_refused(write(map->ram_end().value() - 24, bytes), ErrorKind::hole, 24);
  EXPECT_EQ(guest().pmemsave(map->ram_end().value() - 24, 24),
            std::vector(bytes.begin(), bytes.begin() + 24));
}

TEST_P(GuestWrites, ManyThreads_AllWritten) {
  std::vector<std::vector<std::byte>> parts;
  for (int i = 0; i < 4; ++i) {
    parts.push_back(random_bytes(5000));
  }
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      threads.emplace_back([&, i] { expect_written(write(kFree + i * 5000, parts[i]), 5000); });
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(guest().pmemsave(kFree + i * 5000, 5000), parts[i]);
  }
  EXPECT_TRUE(guest().running());
}

TEST_P(GuestWrites, GuestEnded_Fails) {
  guest().process().signal(SIGKILL);
  EXPECT_TRUE(test::eventually([&] { return vm_->driver().gone(); }));
  expect_refused(write(kFree, random_bytes(8)), ErrorKind::vm_gone);
}

TEST_P(GuestWrites, AccessReport_DescribesWrites) {
  const std::string text = vm_->driver().access().writes;
  EXPECT_THAT(text, testing::HasSubstr(GetParam().accel == "kvm" ? "/proc/PID/mem" : "gdbstub"));
}

INSTANTIATE_TEST_SUITE_P(Backings, GuestWrites,
                         testing::Values(Backing{"tcg", "private"}, Backing{"tcg", "memfd"},
                                         Backing{"tcg", "file"}, Backing{"kvm", "private"},
                                         Backing{"kvm", "memfd"}),
                         [](const auto& one) { return one.param.accel + "_" + one.param.ram; });

GuestOptions plain() {
  GuestOptions options;
  options.fill = "none";
  return options;
}

TEST(GuestWritesByStub, WithoutMonitor_IsRefused) {
  GuestOptions options = plain();
  options.monitor_for_driver = false; // the test uses the other one
  AttachedGuest vm{options, ",timeout=500ms"};
  const auto outcome = vm.write(kFree, random_bytes(8));
  expect_refused(outcome, ErrorKind::unsupported);
  EXPECT_THAT(outcome.failure->text, testing::HasSubstr("already translated"));
  EXPECT_EQ(outcome.failure->text, vm.driver().access().writes);
}

TEST(GuestWritesByStub, MonitorInUseLater_IsBusy) {
  AttachedGuest vm{plain(), ",timeout=3s"};
  const test::TestMonitor taken{vm.guest().driver_socket()};
  expect_refused(vm.write(kFree, random_bytes(8)), ErrorKind::busy);
}

std::string physical_mode(AttachedGuest& vm) {
  const test::TempDir dir;
  vm.guest().monitor().human("gdbserver unix:" + (dir / "gdb") + ",server=on,wait=off");
  return test::GdbClient{dir / "gdb"}.ask("qqemu.PhyMemMode");
}

TEST(GuestWritesByStub, AfterWrite_StubIsInVirtualMode) {
  AttachedGuest vm{plain()};
  vm.guest().pause();
  expect_written(vm.write(kFree, random_bytes(100)), 100);
  // A valid physical address that no page table maps.
  expect_written(vm.write(TG_CR3, std::vector<std::byte>(8)), 8);
  const test::TempDir dir;
  vm.guest().monitor().human("gdbserver unix:" + (dir / "gdb") + ",server=on,wait=off");
  test::GdbClient gdb{dir / "gdb"};
  EXPECT_EQ(gdb.ask("qqemu.PhyMemMode"), "0");
  EXPECT_EQ(gdb.ask("m200000,8").substr(0, 1), "E") << "the top of the page tables is gone";
}

/// Kills a process that writes continuously, at many different moments.
TEST(GuestWritesByStub, KilledDuringVisit_LeaksNothing) {
  for (const bool paused : {false, true}) {
    AttachedGuest vm{plain()};
    if (paused) {
      vm.guest().pause();
    }
    const std::string socket = vm.guest().driver_socket();
    const auto qemu = process_of(vm.guest().pid());
    for (int round = 0; round < 30; ++round) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        Monitor monitor{socket, qemu, 20s, false};
        for (unsigned i = 1;; ++i) {
          const std::vector<std::byte> bytes(kMaxVisitBytes, static_cast<std::byte>(i));
          static_cast<void>(monitor.session().map([&](MonitorSession&& session) {
            return write_by_gdbstub(session, Gpa{kFree}, bytes, {}).done;
          }));
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds{3000 + 1013 * round});
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      EXPECT_TRUE(test::eventually([&] { return vm.guest().running() == !paused; })) << round;
      EXPECT_TRUE(test::eventually([&] { // QEMU may not be finished yet
        const auto all = vm.guest().pmemsave(kFree, kMaxVisitBytes);
        return std::ranges::count(all, all.front()) == std::ssize(all);
      })) << "visits are whole, round "
          << round;
    }
    // A visit may still be under way, if its bytes are those of the visit before. QEMU reads some of its
    // packets before each answer.
    for (int i = 0; i < 100; ++i) {
      static_cast<void>(vm.guest().running());
    }
    EXPECT_EQ(vm.guest().running(), !paused);
    vm.guest().monitor().human("gdbserver none");
    EXPECT_EQ(physical_mode(vm), "0");
    vm.guest().monitor().human("gdbserver none");
    expect_written(vm.write(kFree, random_bytes(8)), 8);
  }
}

TEST(GuestWritesByStub, FiftyVisits_LeakNothing) {
  AttachedGuest vm{plain()};
  for (int i = 0; i < 50; ++i) {
    expect_written(vm.write(kFree, random_bytes(8)), 8);
    ASSERT_TRUE(vm.guest().running());
  }
  EXPECT_THAT(vm.guest().monitor().human("info chardev"), testing::Not(testing::HasSubstr("vmemfs-gdb")));
}

TEST(GuestWritesByStub, WithAKeptMonitor) {
  AttachedGuest vm{plain(), ",keep=on"};
  for (std::uint64_t i = 1; i <= 5; ++i) {
    expect_written(vm.write(TG_CODE_IMM_GPA, bytes_of(0x7000 + i)), 8);
    EXPECT_TRUE(vm.guest().wait_for_serial(reported("code", 0x7000 + i)));
  }
}

TEST(GuestWritesByStub, LayoutFromMonitorOnly_IsWritten) {
  AttachedGuest vm{plain(), ",map=monitor"};
  expect_written(vm.write(TG_INFO_GPA + TG_INFO_OFF_ECHO, bytes_of(0x77)), 8);
  EXPECT_TRUE(vm.guest().wait_for_serial(reported("echo", 0x77)));
}

} // namespace
} // namespace vmemfs::qemu
