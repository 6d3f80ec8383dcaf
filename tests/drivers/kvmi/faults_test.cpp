// SPDX-License-Identifier: MIT
// A VM that misbehaves: damaged and late replies, events that nobody asked for, connections that end.
#include "drivers/kvmi/attached_vm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace vmemfs::kvmi {
namespace {

using kvmi_simulator::Dialect;
using kvmi_simulator::Fault;
using kvmi_simulator::FaultKind;
using testing::HasSubstr;

constexpr std::string_view kAttach = "domain=simulated,timeout=60s,wait=60s,reconnect=60s";
constexpr std::uint16_t kTreeRead = 17;
constexpr std::uint16_t kTreeGetRegisters = 13;
constexpr std::uint16_t kTreePause = 7;
constexpr std::uint16_t kTreeInfo = 5;
constexpr std::uint16_t kTreeMaxGfn = 29;
constexpr std::uint16_t kGetVersionId = 2;

/// A fault of the 100th page of a read.
void read_with(AttachedVm& vm, FaultKind kind, int value = 0) {
  vm.simulator().add_fault({.kind = kind, .id = kTreeRead, .skip = 100, .value = value});
}

class BreakingFault : public testing::TestWithParam<FaultKind> {};

/// What was read before it is right, nothing else is given, and the VM is read again once it has come back.
TEST_P(BreakingFault, EndsTheConnection_AndTheVmComesBack) {
  AttachedVm vm;
  ASSERT_TRUE(vm.attach(std::string{kAttach}));
  ASSERT_TRUE(vm.control().pause());
  read_with(vm, GetParam());
  const auto read = vm.read(0x100000, 1 << 20);
  EXPECT_EQ(read.failure, ErrorKind::source_failed);
  ASSERT_LE(read.bytes.size(), 100U * 4096);
  EXPECT_EQ(read.bytes, vm.guest().bytes(0x100000, read.bytes.size()));
  EXPECT_TRUE(test::eventually([&] { return vm.reports().unclear >= 1; })); // the kernel has resumed it
  EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
  EXPECT_EQ(vm.simulator().seen().connections, 2U);
  EXPECT_TRUE(vm.control().run_status()->running);
  EXPECT_FALSE(vm.driver().gone());
}

INSTANTIATE_TEST_SUITE_P(Kinds, BreakingFault,
                         testing::Values(FaultKind::garbage_status, FaultKind::wrong_seq, FaultKind::wrong_id,
                                         FaultKind::oversized, FaultKind::close, FaultKind::close_amid,
                                         FaultKind::short_event, FaultKind::unhook_event));

TEST(KvmiFaults, ReplyAfterTheDeadline_EndsTheConnection_AndTheVmComesBack) {
  for (const FaultKind kind : {FaultKind::silence, FaultKind::late}) {
    AttachedVm vm;
    ASSERT_TRUE(vm.attach("domain=simulated,timeout=1s,wait=60s,reconnect=60s"));
    read_with(vm, kind, 3000);
    const auto read = vm.read(0x100000, 1 << 20);
    EXPECT_EQ(read.failure, ErrorKind::timed_out);
    EXPECT_EQ(read.bytes, vm.guest().bytes(0x100000, read.bytes.size()));
    EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
    EXPECT_GE(vm.simulator().seen().connections, 2U);
  }
}

TEST(KvmiFaults, RefusedPage_IsABadPage_AndTheRestIsRead) {
  for (const FaultKind kind : {FaultKind::error, FaultKind::error_with_data}) {
    AttachedVm vm;
    ASSERT_TRUE(vm.attach());
    read_with(vm, kind, kvmi_simulator::kNoEntry);
    const auto read = vm.read(0x100000, 1 << 20);
    EXPECT_EQ(read.failure, ErrorKind::bad_page);
    EXPECT_EQ(read.bytes, vm.guest().bytes(0x100000, 100 * 4096));
    EXPECT_TRUE(vm.reads());
    EXPECT_EQ(vm.simulator().seen().connections, 1U);
  }
}

TEST(KvmiFaults, ReplyThatIsTooShort_IsNoData_AndOneThatIsTooLongIsCut) {
  AttachedVm vm;
  ASSERT_TRUE(vm.attach());
  read_with(vm, FaultKind::short_reply);
  const auto read = vm.read(0x100000, 1 << 20);
  EXPECT_EQ(read.failure, ErrorKind::source_failed);
  EXPECT_EQ(read.bytes, vm.guest().bytes(0x100000, 100 * 4096));
  read_with(vm, FaultKind::long_reply);
  EXPECT_TRUE(vm.reads(0x100000, 1 << 20));
  vm.simulator().add_fault({.kind = FaultKind::short_reply, .id = kTreeGetRegisters});
  const auto registers = vm.driver().register_reader()->read_vcpu(VcpuId{0});
  ASSERT_FALSE(registers);
  EXPECT_EQ(registers.error().kind, ErrorKind::source_failed);
  EXPECT_TRUE(vm.driver().register_reader()->read_vcpu(VcpuId{0}));
  EXPECT_EQ(vm.simulator().seen().connections, 1U);
}

TEST(KvmiFaults, EventsThatNobodyAskedFor_AreContinued) {
  for (const FaultKind kind : {FaultKind::unknown_event, FaultKind::hypercall_event}) {
    AttachedVm vm;
    ASSERT_TRUE(vm.attach());
    read_with(vm, kind);
    EXPECT_TRUE(vm.reads(0x100000, 1 << 20));
    EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
    EXPECT_EQ(vm.simulator().seen().unexpected_replies, 0U);
    EXPECT_EQ(vm.simulator().seen().connections, 1U);
  }
}

TEST(KvmiFaults, PauseThatIsRefusedForOneVcpu_LeavesNonePaused) {
  AttachedVm vm{{}, {.vcpus = 4}};
  ASSERT_TRUE(vm.attach());
  vm.simulator().add_fault(
      {.kind = FaultKind::error, .id = kTreePause, .skip = 2, .value = kvmi_simulator::kPerm});
  const auto paused = vm.control().pause();
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().kind, ErrorKind::permission);
  EXPECT_THAT(paused.error().text, HasSubstr("vCPU 2"));
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
  ASSERT_TRUE(vm.control().pause());
  EXPECT_EQ(vm.simulator().waiting_vcpus(), 4U);
}

TEST(KvmiFaults, VcpuThatDoesNotStop_PauseTimesOut_AndLeavesNonePaused) {
  AttachedVm vm;
  ASSERT_TRUE(vm.attach("domain=simulated,timeout=2s,wait=60s,reconnect=60s"));
  vm.simulator().add_fault({.kind = FaultKind::no_event, .id = kTreePause, .skip = 1});
  const auto paused = vm.control().pause();
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().kind, ErrorKind::timed_out);
  EXPECT_THAT(paused.error().text, HasSubstr("vCPU 1"));
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
  EXPECT_TRUE(vm.reads());
}

/// The events come after the resume: they are answered all the same, and count for no later pause.
TEST(KvmiFaults, PauseEventsAfterTheResume_AreAnswered) {
  AttachedVm vm{{.event_delay = std::chrono::milliseconds{1500}}};
  ASSERT_TRUE(vm.attach("domain=simulated,timeout=1s,wait=60s,reconnect=60s"));
  EXPECT_FALSE(vm.control().pause()); // it takes longer than the time limit
  ASSERT_TRUE(vm.control().resume());
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
  EXPECT_EQ(vm.simulator().seen().unexpected_replies, 0U);
}

TEST(KvmiFaults, VmThatAnswersNothing_IsNotAttached_InTime) {
  AttachedVm vm{{.faults = {{.kind = FaultKind::silence, .id = kGetVersionId, .times = 1000}}}};
  const auto attached = vm.attach("domain=simulated,timeout=500ms,wait=60s");
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().kind, ErrorKind::timed_out) << attached.error().message();
}

/// Numbers that no VM has: without memory, without vCPUs, with billions of either.
TEST(KvmiFaults, ImpossibleNumbers_AreRefused) {
  for (const FaultKind kind : {FaultKind::zeros, FaultKind::ones, FaultKind::short_reply}) {
    for (const std::uint16_t id : {kGetVersionId, kTreeInfo, kTreeMaxGfn}) {
      AttachedVm vm{{.faults = {{.kind = kind, .id = id, .times = 1000}}}};
      const auto attached = vm.attach();
      ASSERT_FALSE(attached) << id;
      EXPECT_TRUE(attached.error().kind == ErrorKind::source_failed ||
                  attached.error().kind == ErrorKind::unsupported)
          << attached.error().message();
    }
    AttachedVm vm;
    ASSERT_TRUE(vm.attach());
    for (const std::uint16_t id : {kTreeInfo, kTreeMaxGfn}) {
      vm.simulator().add_fault({.kind = kind, .id = id, .times = 1000});
    }
    EXPECT_FALSE(vm.driver().refresh());
    EXPECT_EQ(vm.driver().vcpus().size(), 2U);
    EXPECT_TRUE(vm.reads());
  }
  AttachedVm vm;
  ASSERT_TRUE(vm.attach());
  vm.simulator().add_fault({.kind = FaultKind::ones, .id = kTreeGetRegisters});
  EXPECT_FALSE(vm.driver().register_reader()->read_vcpu(VcpuId{0}));
}

TEST(KvmiFaults, HungVm_IsNoticedByItself) {
  AttachedVm vm;
  ASSERT_TRUE(vm.attach("domain=simulated,timeout=500ms,wait=60s,reconnect=60s"));
  vm.simulator().add_fault({.kind = FaultKind::silence, .id = kTreeInfo});
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().seen().connections == 2; }));
  EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
}

TEST(KvmiFaults, OtherDialects_AreRefusedWithTheReason) {
  for (const auto& [dialect, name] :
       {std::pair{Dialect::rfc8, "RFC v7 or v8"}, std::pair{Dialect::rfc9, "RFC v9"}}) {
    AttachedVm vm{{.dialect = dialect}};
    const auto attached = vm.attach();
    ASSERT_FALSE(attached);
    EXPECT_EQ(attached.error().kind, ErrorKind::unsupported) << attached.error().message();
    EXPECT_THAT(attached.error().text, HasSubstr(name));
  }
}

TEST(KvmiFaults, WithoutTheUnhookEvent_TheVmIsAttachedAllTheSame) {
  AttachedVm vm{{.refuse_unhook = true}};
  ASSERT_TRUE(vm.attach());
  EXPECT_TRUE(vm.reads());
}

TEST(KvmiFaults, ResetsUnderReadersAndPauses_NothingWrongIsRead) {
  AttachedVm vm{{.reconnect = std::chrono::milliseconds{5}}, {.vcpus = 3}};
  ASSERT_TRUE(vm.attach(std::string{kAttach}));
  std::atomic<int> wrong{0};
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          const auto read = vm.read(0x100800, 600'000);
          wrong += read.bytes == vm.guest().bytes(0x100800, read.bytes.size()) ? 0 : 1;
          good += read.failure ? 0 : 1;
        }
      });
    }
    threads.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        static_cast<void>(vm.control().pause());
        static_cast<void>(vm.driver().register_reader()->read_vcpu(VcpuId{1}));
        static_cast<void>(vm.control().resume());
      }
    });
    for (int i = 0; i < 20; ++i) {
      const int before = good;
      EXPECT_TRUE(test::eventually([&] { return good > before; }));
      vm.simulator().disconnect();
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
  EXPECT_EQ(vm.simulator().seen().unexpected_replies, 0U);
}

} // namespace
} // namespace vmemfs::kvmi
