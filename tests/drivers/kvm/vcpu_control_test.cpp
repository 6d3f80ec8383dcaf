// SPDX-License-Identifier: MIT
// Registers and run control of VMs of a VMM that takes no part, against what KVM gives that VMM and what the
// guest does.
#include "arch/x86_64/kvm_registers.h"
#include "arch/x86_64/registers.h"
#include "drivers/kvm/kvm_driver.h"
#include "drivers/kvm/vcpus/thread_call.h"
#include "drivers/kvm/vcpus/vcpu_control.h"
#include "support/kvm/kvm_vmm.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::kvm {
namespace {

using test::KvmVmm;
using testing::HasSubstr;
using namespace test::kvm_vmm;
using x86_64::Register;

TEST(ThreadCall, Files_AreUnderstood) {
  EXPECT_EQ(thread_call("running\n"), ThreadCall::running);
  EXPECT_EQ(thread_call("16 0xc 0xae80 0x0 0x0 0x0 0x0 0x7f1 0x7f2\n"), ThreadCall::guest);
  EXPECT_EQ(thread_call("202 0x7f 0x189 0x0 0x0 0x0 0xffffffff 0x7f1 0x7f2\n"), ThreadCall::other); // futex
  EXPECT_EQ(thread_call("16 0xc 0xae01 0x0 0x0 0x0 0x0 0x7f1 0x7f2\n"), ThreadCall::other); // another ioctl
  EXPECT_EQ(thread_call("-1 0x7f1 0x7f2\n"), ThreadCall::other);
  EXPECT_EQ(thread_call(""), ThreadCall::other);
}

class VcpuControlTest : public testing::Test {
protected:
  void SetUp() override {
    if (const auto why = test::why_no_kvm()) {
      GTEST_SKIP() << *why;
    }
    if (runtime_ == nullptr) {
      runtime_ = std::make_shared<KvmRuntime>();
    }
  }

  std::unique_ptr<KvmDriver> attach(pid_t pid, const std::string& api = {}) {
    auto driver =
        KvmDriver::attach({pid, 0, api}, {.watcher = watcher_, .worker = worker_, .runtime = runtime_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    return std::move(*driver);
  }

  static std::uint32_t word(Driver& driver, std::uint64_t gpa) {
    std::uint32_t value = 0;
    ReadPiece piece{Gpa{gpa}, std::as_writable_bytes(std::span{&value, 1}), 0, std::nullopt};
    driver.read({&piece, 1});
    EXPECT_EQ(piece.done, sizeof(value));
    return value;
  }

  static bool guest_runs(Driver& driver, unsigned vcpu = 0) {
    const auto before = word(driver, counter_of(vcpu));
    return test::eventually([&] { return word(driver, counter_of(vcpu)) != before; });
  }

  static bool guest_is_paused(Driver& driver) {
    const auto before = word(driver, kCounter);
    std::this_thread::sleep_for(std::chrono::milliseconds{30});
    return word(driver, kCounter) == before;
  }

  pid_t vcpu_thread(pid_t pid) {
    const VmWalk& walk = **runtime_->walk();
    pid_t thread = 0;
    EXPECT_TRUE(test::eventually([&] {
      const auto slots = walk.slots_of(pid, walk.list_of(pid).value().front().key);
      thread = slots && !slots->vcpus.empty() ? slots->vcpus.front().thread : 0;
      return thread != 0;
    }));
    return thread;
  }

  FdWatcher watcher_;
  Worker worker_;
  inline static std::shared_ptr<KvmRuntime> runtime_; ///< of all tests, as loading takes a while
};

/// Once more if a thread got no CPU for seconds, as on a host that is overloaded.
template <typename Operation> auto patiently(Operation operation) {
  auto done = operation();
  for (int tries = 1; !done && done.error().kind == ErrorKind::timed_out && tries < 10; ++tries) {
    done = operation();
  }
  return done;
}

/// How often a vCPU is stopped by a test. VMEMFS_KVM_STOPS in the environment overrides it, for a slow host.
unsigned stops(unsigned usual) {
  const char* const wanted = std::getenv("VMEMFS_KVM_STOPS");
  return wanted != nullptr ? static_cast<unsigned>(std::stoul(wanted)) : usual;
}

std::vector<VcpuId> first_vcpus(unsigned count) {
  const VcpuSet set = VcpuSet::first(count);
  return {set.begin(), set.end()};
}

TEST_F(VcpuControlTest, PausedVm_HasTheRegistersThatKvmGivesItsProgram) {
  KvmVmm vmm{{.vcpus = 2}};
  const auto driver = attach(vmm.pid());
  EXPECT_TRUE(guest_runs(*driver, 0) && guest_runs(*driver, 1));
  const auto paused = patiently([&] { return driver->run_control()->pause(); });
  ASSERT_TRUE(paused.has_value()) << paused.error().message();
  EXPECT_FALSE(paused->running);
  EXPECT_TRUE(paused->memory_changes);
  const auto sets = patiently([&] { return driver->register_reader()->read_registers(first_vcpus(2)); });
  ASSERT_TRUE(sets.has_value()) << sets.error().message();
  const auto truth = vmm.registers();
  ASSERT_EQ(truth.size(), 2U);
  for (unsigned vcpu = 0; vcpu < 2; ++vcpu) {
    const RegisterSet& got = (*sets)[vcpu];
    EXPECT_EQ(to_text(got), to_text(x86_64::from_kvm(truth[vcpu].general, truth[vcpu].system)));
    EXPECT_EQ(got.get(Register::rbx), truth[vcpu].general.rbx);
    EXPECT_EQ(got.get(Register::cs_limit), truth[vcpu].system.cs.limit);
    EXPECT_EQ(got.get(Register::rbx), 0x1000 + vcpu);
    EXPECT_GE(got.get(Register::rip), code_of(vcpu));
    EXPECT_LT(got.get(Register::rip), code_of(vcpu) + 16);
  }
}

TEST_F(VcpuControlTest, ManyStops_LoseNoneAndTheGuestGoesOn) {
  for (const bool ports : {false, true}) {
    KvmVmm vmm{{.vcpus = 2, .ports = ports}};
    const auto driver = attach(vmm.pid());
    EXPECT_TRUE(guest_runs(*driver, 0) && guest_runs(*driver, 1));
    for (unsigned i = 0; i < stops(1500); ++i) {
      const auto sets = patiently([&] { return driver->register_reader()->read_registers(first_vcpus(2)); });
      ASSERT_TRUE(sets.has_value()) << "stop " << i << ": " << sets.error().message();
      for (unsigned vcpu = 0; vcpu < 2; ++vcpu) {
        ASSERT_EQ((*sets)[vcpu].get(Register::rbx), 0x1000 + vcpu);
      }
    }
    for (unsigned vcpu = 0; vcpu < 2; ++vcpu) {
      EXPECT_TRUE(guest_runs(*driver, vcpu));
      EXPECT_EQ(word(*driver, counter_of(vcpu) + 8), 0x1000 + vcpu);
    }
  }
}

TEST_F(VcpuControlTest, Pause_StopsTheGuestUntilItIsResumed) {
  KvmVmm vmm{{.vcpus = 2}};
  auto driver = attach(vmm.pid());
  EXPECT_TRUE(guest_runs(*driver, 0) && guest_runs(*driver, 1));
  EXPECT_TRUE(driver->run_control()->run_status().value().running);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(patiently([&] { return driver->run_control()->pause(); }).has_value());
    EXPECT_TRUE(guest_is_paused(*driver));
    EXPECT_FALSE(driver->run_control()->run_status().value().running);
    ASSERT_TRUE(driver->run_control()->resume().value().running);
    EXPECT_TRUE(guest_runs(*driver));
  }
  ASSERT_TRUE(patiently([&] { return driver->run_control()->pause(); }).has_value());
  driver = attach(vmm.pid()); // the one that has paused it is destroyed
  EXPECT_TRUE(guest_runs(*driver));
  EXPECT_FALSE(driver->run_control()->can_keep());
}

TEST_F(VcpuControlTest, VmPausedByItsProgram_SaysSoAndIsNotResumed) {
  KvmVmm vmm;
  const auto driver = attach(vmm.pid());
  vmm.command("stop");
  // Not at once on a busy host, where a thread waits for a CPU before it sleeps.
  EXPECT_TRUE(test::eventually([&] {
    const auto status = driver->run_control()->run_status();
    return status && !status->running && status->detail.find("own program") != std::string::npos;
  }));
  const auto registers = driver->register_reader()->read_vcpu(VcpuId{0});
  ASSERT_FALSE(registers.has_value());
  EXPECT_EQ(registers.error().kind, ErrorKind::busy);
  EXPECT_THAT(registers.error().text, HasSubstr("paused it"));
  EXPECT_TRUE(test::eventually([&] {
    const auto resumed = driver->run_control()->resume();
    return !resumed && resumed.error().kind == ErrorKind::unsupported;
  }));
  ASSERT_TRUE(patiently([&] {
                return driver->run_control()->pause();
              }).has_value()); // now it stays paused whatever its program does
  vmm.command("go");
  EXPECT_TRUE(guest_is_paused(*driver));
  ASSERT_TRUE(driver->run_control()->resume().has_value());
  EXPECT_TRUE(guest_runs(*driver));
}

TEST_F(VcpuControlTest, RegistersThatAreSet_AreTheGuests) {
  KvmVmm vmm;
  const auto driver = attach(vmm.pid());
  EXPECT_TRUE(guest_runs(*driver));
  const auto set = [&](Register reg, std::uint64_t value) {
    const RegisterValue one{reg, value};
    return patiently([&] { return driver->register_writer()->write_registers(VcpuId{0}, {&one, 1}); });
  };
  const auto running = set(Register::rbx, 0x11223344);
  ASSERT_TRUE(running.has_value()) << running.error().message();
  EXPECT_TRUE(test::eventually([&] { return word(*driver, kCounter + 8) == 0x11223344; }));
  ASSERT_TRUE(patiently([&] { return driver->run_control()->pause(); }).has_value());
  const auto held = set(Register::rbx, 0x55667788);
  ASSERT_TRUE(held.has_value()) << held.error().message();
  EXPECT_EQ(driver->register_reader()->read_vcpu(VcpuId{0}).value().get(Register::rbx), 0x55667788U);
  EXPECT_EQ(word(*driver, kCounter + 8), 0x11223344U);
  ASSERT_TRUE(driver->run_control()->resume().has_value());
  EXPECT_TRUE(test::eventually([&] { return word(*driver, kCounter + 8) == 0x55667788; }));
  const auto system = set(Register::cr3, 0x5000);
  ASSERT_FALSE(system.has_value());
  EXPECT_EQ(system.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(system.error().text, HasSubstr("cr3"));
  EXPECT_TRUE(guest_runs(*driver));
}

TEST_F(VcpuControlTest, VcpuThatRunsForTheFirstTime_AfterTheAttach_IsFound) {
  for (const bool is_write : {false, true}) {
    KvmVmm vmm{{.stopped = true}};
    const auto driver = attach(vmm.pid());
    const RegisterValue value{Register::rbx, 0x11223344};
    const auto use = [&]() -> Result<void> {
      return is_write ? driver->register_writer()->write_registers(VcpuId{0}, {&value, 1})
                      : driver->register_reader()->read_vcpu(VcpuId{0}).map([](const auto&) {});
    };
    const auto before = use();
    ASSERT_FALSE(before.has_value());
    EXPECT_EQ(before.error().kind, ErrorKind::busy);
    vmm.command("go");
    EXPECT_TRUE(guest_runs(*driver));
    const auto after = patiently(use);
    EXPECT_TRUE(after.has_value()) << is_write << ": " << after.error().message();
  }
}

TEST_F(VcpuControlTest, VmWithADebugger_IsRefusedWithItsNumber) {
  KvmVmm vmm;
  const auto driver = attach(vmm.pid());
  const pid_t thread = vcpu_thread(vmm.pid());
  std::thread{[&] { // its end frees the thread
    ASSERT_EQ(::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr), 0);
    const auto registers = driver->register_reader()->read_vcpu(VcpuId{0});
    ASSERT_FALSE(registers.has_value());
    EXPECT_EQ(registers.error().kind, ErrorKind::busy);
    EXPECT_THAT(registers.error().text, HasSubstr(fmt::format("process {} traces", ::getpid())));
    EXPECT_FALSE(driver->run_control()->pause().has_value());
  }}
      .join();
  EXPECT_TRUE(driver->register_reader()->read_vcpu(VcpuId{0}).has_value());
  EXPECT_TRUE(guest_runs(*driver));
}

TEST_F(VcpuControlTest, StoppedProcess_StaysStoppedAndGoesOn) {
  KvmVmm vmm;
  const auto driver = attach(vmm.pid());
  vmm.process().signal(SIGSTOP);
  static_cast<void>(driver->register_reader()->read_vcpu(VcpuId{0}).has_value()); // they may be there or not
  EXPECT_TRUE(guest_is_paused(*driver));
  vmm.process().signal(SIGCONT);
  EXPECT_TRUE(guest_runs(*driver));
  EXPECT_TRUE(driver->register_reader()->read_vcpu(VcpuId{0}).has_value());
}

TEST_F(VcpuControlTest, ProgramKilledDuringAPause_Ends) {
  constexpr int kTimes = 5;
  for (int i = 0; i < kTimes; ++i) {
    KvmVmm vmm{{.vcpus = 2}};
    const auto driver = attach(vmm.pid());
    ASSERT_TRUE(patiently([&] { return driver->run_control()->pause(); }).has_value());
    vmm.process().signal(SIGKILL);
    // At the moment at which it has ended: it is not "paused" for a while longer.
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!driver->gone() && std::chrono::steady_clock::now() < limit) {
      std::this_thread::yield();
    }
    ASSERT_TRUE(driver->gone()) << "a traced thread keeps the process";
    const auto status = driver->run_control()->run_status();
    ASSERT_FALSE(status.has_value()) << status->detail;
    EXPECT_EQ(status.error().kind, ErrorKind::vm_gone);
    EXPECT_TRUE(vmm.process().wait(std::chrono::seconds{30}));
  }
}

/// Reads registers and pauses, until it is killed.
[[noreturn]] void stop_again_and_again(KvmDriver& driver) {
  for (unsigned i = 0;; ++i) {
    static_cast<void>(driver.register_reader()->read_vcpu(VcpuId{i % 2}));
    if (i % 8 == 0) {
      static_cast<void>(driver.run_control()->pause());
      static_cast<void>(driver.run_control()->resume());
    }
  }
}

TEST_F(VcpuControlTest, WhoStopsIsKilled_TheGuestRunsEachTime) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer allows no threads in a child of a process with threads";
#endif
  KvmVmm vmm{{.vcpus = 2}};
  const auto watching = attach(vmm.pid());
  EXPECT_TRUE(guest_runs(*watching, 0) && guest_runs(*watching, 1));
  for (unsigned i = 0; i < stops(200); ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      FdWatcher watcher;
      Worker worker;
      auto driver =
          KvmDriver::attach({vmm.pid()}, {.watcher = watcher, .worker = worker, .runtime = runtime_});
      if (driver) {
        stop_again_and_again(**driver);
      }
      ::_exit(1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds{6000 + i * 37});
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it could not attach";
    ASSERT_TRUE(guest_runs(*watching, i % 2)) << "kill " << i;
  }
  const auto sets = patiently([&] { return watching->register_reader()->read_registers(first_vcpus(2)); });
  EXPECT_TRUE(sets.has_value()) << sets.error().message();
}

} // namespace
} // namespace vmemfs::kvm
