// SPDX-License-Identifier: MIT
// The driver on real VMs: what the contract suite does not cover.
#include "driver/driver_runtimes.h"
#include "drivers/kvm/discovery/kvm_discovery.h"
#include "drivers/kvm/kvm_driver.h"
#include "drivers/kvm/kvm_type.h"
#include "host/process.h"
#include "support/event_counts.h"
#include "support/kvm/kvm_vmm.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmemfs::kvm {
namespace {

using testing::HasSubstr;
using namespace test::kvm_vmm;

class KvmDriverTest : public testing::Test {
protected:
  void SetUp() override {
    if (const auto why = test::why_no_kvm()) {
      GTEST_SKIP() << *why;
    }
    if (runtime_ == nullptr) {
      runtime_ = std::make_shared<KvmRuntime>();
    }
    ASSERT_TRUE(runtime_->walk().has_value()) << runtime_->walk().error().message();
  }

  Result<std::unique_ptr<KvmDriver>> attach(pid_t pid, std::uint64_t index = 0) {
    return KvmDriver::attach({pid, index}, {.watcher = watcher_, .worker = worker_, .runtime = runtime_});
  }

  FdWatcher watcher_;
  Worker worker_;
  inline static std::shared_ptr<KvmRuntime> runtime_; ///< of all tests, as loading takes a while
};

bool has(const Driver& driver, const Piece& piece, RegionKind kind) {
  const auto map = driver.memory_map();
  const auto found = map->at(Gpa{piece.gpa});
  return found.region != nullptr &&
         found.region->range == GpaRange{Gpa{piece.gpa}, Gpa{piece.gpa + piece.size}} &&
         found.region->kind == kind && found.region->writable == (kind == RegionKind::ram);
}

std::vector<std::byte> read(Driver& driver, std::uint64_t gpa, std::size_t size) {
  std::vector<std::byte> bytes(size);
  ReadPiece piece{Gpa{gpa}, bytes, 0, std::nullopt};
  driver.read({&piece, 1});
  bytes.resize(piece.done);
  return bytes;
}

TEST_F(KvmDriverTest, Vm_HasItsMapItsVcpusAndItsName) {
  test::KvmVmm vmm{{.name = "web01"}};
  const auto driver = attach(vmm.pid());
  ASSERT_TRUE(driver.has_value()) << driver.error().message();
  EXPECT_TRUE(has(**driver, kLow, RegionKind::ram));
  EXPECT_TRUE(has(**driver, kAbove, RegionKind::ram));
  EXPECT_TRUE(has(**driver, kRom, RegionKind::rom));
  EXPECT_EQ((*driver)->memory_map()->regions().size(), 3U);
  EXPECT_EQ((*driver)->identity().name, "web01");
  EXPECT_EQ((*driver)->identity().key, process_key(Process::open(vmm.pid()).value()));
  EXPECT_EQ((*driver)->vcpus(), VcpuSet::first(1));
  EXPECT_THAT((*driver)->access().registers, HasSubstr("ptrace"));
}

TEST_F(KvmDriverTest, RunningGuest_IsReadAndWritten) {
  test::KvmVmm vmm;
  const auto driver = attach(vmm.pid());
  ASSERT_TRUE(driver.has_value()) << driver.error().message();
  const auto before = read(**driver, kCounter, 4);
  EXPECT_TRUE(test::eventually([&] { return read(**driver, kCounter, 4) != before; }));
  const std::array<std::byte, 2> forever{std::byte{0xeb}, std::byte{0xfe}}; // jmp to itself
  const auto written = (*driver)->memory_writer()->write(Gpa{kCode}, forever);
  EXPECT_FALSE(written.failure) << written.failure->message();
  EXPECT_TRUE(test::eventually([&] {
    const auto counter = read(**driver, kCounter, 4);
    ::usleep(20'000);
    return read(**driver, kCounter, 4) == counter;
  })) << "the guest does not run what was written";
}

TEST_F(KvmDriverTest, PluggedSlot_IsSeenByAReaderAndAWriter) {
  test::KvmVmm vmm;
  const auto driver = attach(vmm.pid());
  ASSERT_TRUE(driver.has_value()) << driver.error().message();
  test::EventCounts events;
  (*driver)->set_listener(&events);
  vmm.command("plug");
  EXPECT_TRUE(test::eventually([&] {
    (*driver)->poll_layout(true);
    return events.has(VmEvent::layout_changed) && has(**driver, kPlugged, RegionKind::ram);
  }));
  EXPECT_EQ(read(**driver, kPlugged.gpa, 64), vmm.truth(kPlugged.gpa, 64));
  vmm.command("unplug");
  const std::array<std::byte, 8> bytes{};
  const auto written = (*driver)->memory_writer()->write(Gpa{kPlugged.gpa}, bytes);
  EXPECT_EQ(written.done, 0U);
  ASSERT_TRUE(written.failure);
  EXPECT_EQ(written.failure->kind, ErrorKind::hole);
  (*driver)->set_listener(nullptr);
}

TEST_F(KvmDriverTest, UntouchedMemory_StaysUntouched) {
  for (const char* const memory : {"private", "memfd"}) {
    test::KvmVmm vmm{{.memory = memory}};
    const auto driver = attach(vmm.pid());
    ASSERT_TRUE(driver.has_value()) << driver.error().message();
    const auto held = (*driver)->held_bytes();
    const std::vector<std::byte> zeros(1 << 20);
    EXPECT_EQ(read(**driver, kUntouched, zeros.size()), zeros);
    EXPECT_LT((*driver)->held_bytes().value(), held.value() + zeros.size() / 2) << memory;
  }
}

TEST_F(KvmDriverTest, WrongProcessesAndIndexes_AreRefusedWithTheReason) {
  const auto own = attach(::getpid());
  ASSERT_FALSE(own.has_value());
  EXPECT_EQ(own.error().kind, ErrorKind::not_found);
  EXPECT_THAT(own.error().text, HasSubstr("has no VM of KVM"));
  test::KvmVmm vmm;
  const auto second = attach(vmm.pid(), 1);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().text, HasSubstr("has 1 VMs"));
}

/// A process with two VMs, of a page each at 0; closes the first one at SIGUSR1.
class TwoVms {
public:
  TwoVms() {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) {
      std::abort();
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      run(ready[1]);
    }
    char go = 0;
    ::close(ready[1]);
    static_cast<void>(!::read(ready[0], &go, 1));
    ::close(ready[0]);
  }
  ~TwoVms() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  TwoVms(const TwoVms&) = delete;
  TwoVms& operator=(const TwoVms&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

private:
  [[noreturn]] static void run(int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t signals{};
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    std::array<int, 2> vms{};
    for (std::size_t i = 0; i < vms.size(); ++i) {
      void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      *static_cast<char*>(page) = static_cast<char>('a' + i);
      vms.at(i) = ::ioctl(kvm, KVM_CREATE_VM, 0);
      const kvm_userspace_memory_region region{.slot = 0,
                                               .flags = 0,
                                               .guest_phys_addr = 0,
                                               .memory_size = 4096,
                                               .userspace_addr = reinterpret_cast<std::uint64_t>(page)};
      ::ioctl(vms.at(i), KVM_SET_USER_MEMORY_REGION, &region);
    }
    static_cast<void>(!::write(ready, "", 1));
    int number = 0;
    ::sigwait(&signals, &number);
    ::close(vms[0]);
    for (;;) {
      ::pause();
    }
  }

  pid_t pid_ = 0;
};

TEST_F(KvmDriverTest, SeveralVmsOfAProcess_AreApart) {
  TwoVms process;
  const auto first = attach(process.pid(), 0);
  const auto second = attach(process.pid(), 1);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(read(**first, 0, 1).front(), std::byte{'a'});
  EXPECT_EQ(read(**second, 0, 1).front(), std::byte{'b'});
  EXPECT_NE((*first)->identity().key, (*second)->identity().key);
}

TEST_F(KvmDriverTest, VmThatItsProcessClosed_IsGone) {
  TwoVms process;
  const auto first = attach(process.pid(), 0);
  const auto second = attach(process.pid(), 1);
  ASSERT_TRUE(first.has_value() && second.has_value());
  test::EventCounts events;
  (*first)->set_listener(&events);
  ::kill(process.pid(), SIGUSR1);
  EXPECT_TRUE(test::eventually([&] {
    (*first)->poll_layout(true);
    return events.has(VmEvent::gone) && (*first)->gone();
  }));
  std::vector<std::byte> byte(1);
  ReadPiece piece{Gpa{0}, byte, 0, std::nullopt};
  (*first)->read({&piece, 1});
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_EQ(read(**second, 0, 1).front(), std::byte{'b'});
  (*first)->set_listener(nullptr);
}

TEST_F(KvmDriverTest, Discovery_HasVmsThatComeAndGo) {
  KvmDiscovery discovery{runtime_};
  const auto found = [&](pid_t pid) {
    const auto vms = discovery.scan();
    EXPECT_TRUE(vms.has_value()) << vms.error().message();
    const auto vm = std::ranges::find(*vms, fmt::format("pid={}", pid), &FoundVm::params);
    return vm != vms->end() ? std::optional{*vm} : std::nullopt;
  };
  pid_t pid = 0;
  {
    test::KvmVmm vmm{{.name = "web01"}};
    pid = vmm.pid();
    ASSERT_TRUE(test::eventually([&] { return found(pid).has_value(); }));
    const auto vm = found(pid);
    EXPECT_EQ(vm->name, "web01");
    EXPECT_EQ(vm->key, process_key(Process::open(pid).value()));
    EXPECT_EQ(vm->number, fmt::format("{}", pid));
    EXPECT_EQ(vm->owner, ::getuid());
  }
  EXPECT_TRUE(test::eventually([&] { return !found(pid).has_value(); }));
}

} // namespace
} // namespace vmemfs::kvm
