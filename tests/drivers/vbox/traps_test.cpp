// SPDX-License-Identifier: MIT
// What another side may do that the protocol does not rule out: hang, lie, answer late, die, or cut its
// object.
#include "arch/x86_64/registers.h"
#include "drivers/vbox/attached_vm.h"
#include "drivers/vbox/link/channel.h"
#include "drivers/vbox/shared/lock_journal.h"
#include "support/files.h"
#include "support/forked_child.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs::vbox {
namespace {

using test::eventually;
using testing::HasSubstr;
using testing::IsEmpty;
using x86_64::Register;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;
/// A reply that is missing is not waited for for long.
const std::string kShort = ",timeout=300ms";

Error refusal(AttachedVm& vm, const std::string& more = kShort) {
  const auto opened = vm.open(more);
  EXPECT_FALSE(opened.has_value());
  return opened ? Error{} : opened.error();
}

TEST(VboxTraps, PageThatCannotBeRead_EndsThePieceThere) {
  AttachedVm vm;
  vm.vm.guest().make_bad(2 * kMiB + 5 * 4096, 2 * kMiB + 6 * 4096);
  const ReadPiece piece = vm.read(2 * kMiB + 100, 65536);
  EXPECT_EQ(piece.done, 5 * 4096U - 100);
  EXPECT_EQ(piece.failure, ErrorKind::bad_page);
  vm.buffer.resize(piece.done);
  EXPECT_EQ(vm.buffer, vm.truth(2 * kMiB + 100, piece.done));
  EXPECT_TRUE(vm.reads_well(2 * kMiB + 6 * 4096, 4096));
}

TEST(VboxTraps, RefusedRead_IsTriedInParts) {
  AttachedVm vm;
  vm.vm.add_fault({.kind = sim::FaultKind::refuse});
  EXPECT_TRUE(vm.reads_well(2 * kMiB, 65536));
}

class Lies : public testing::TestWithParam<sim::Fault> {};

/// The reply cannot be one to this request, so nobody knows to what the next one belongs.
TEST_P(Lies, EndTheConnection_AndAnotherOneWorks) {
  AttachedVm vm;
  vm.vm.add_fault(GetParam());
  const ReadPiece piece = vm.read(2 * kMiB, 4096);
  EXPECT_EQ(piece.done, 0U);
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_TRUE(vm.driver->gone());
  EXPECT_EQ(vm.events.of(VmEvent::gone), 1);
  const unsigned requests = vm.vm.seen().requests;
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_FALSE(vm.driver->run_control()->run_status().has_value());
  EXPECT_EQ(vm.vm.seen().requests, requests);
  EXPECT_FALSE(vm.vm.general_lock_held());
  EXPECT_TRUE(vm.open().has_value());
}

INSTANTIATE_TEST_SUITE_P(VboxTraps, Lies,
                         testing::Values(sim::Fault{.kind = sim::FaultKind::status, .value = 0},
                                         sim::Fault{.kind = sim::FaultKind::status, .value = 255},
                                         sim::Fault{.kind = sim::FaultKind::wrong_size, .value = 1},
                                         sim::Fault{.kind = sim::FaultKind::wrong_size,
                                                    .value = 0xffffffff - 4095},
                                         sim::Fault{.kind = sim::FaultKind::size_field}));

TEST(VboxTraps, Silence_EndsTheConnectionWithinItsTime) {
  AttachedVm vm{{}, kShort};
  vm.vm.add_fault({.kind = sim::FaultKind::silence});
  const auto begin = Clock::now();
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds{4});
  EXPECT_EQ(vm.events.of(VmEvent::gone), 1);
  EXPECT_FALSE(vm.vm.general_lock_held());
  EXPECT_EQ(refusal(vm).kind, ErrorKind::timed_out);
}

TEST(VboxTraps, HangAfterSomeRequests_EndsTheConnection) {
  AttachedVm vm{{}, kShort};
  vm.vm.add_fault({.kind = sim::FaultKind::silence, .skip = 5});
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(vm.reads_well(2 * kMiB, 4096));
  }
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
}

/// It is dropped by who waited for it in vain, and not taken for the reply to anybody's next request.
TEST(VboxTraps, LateReply_IsNobodys) {
  AttachedVm vm{{}, kShort};
  vm.vm.add_fault({.kind = sim::FaultKind::late, .delay = std::chrono::milliseconds{700}});
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_TRUE(vm.driver->gone());
  auto again = vm.open();
  ASSERT_TRUE(again.has_value()) << again.error().message();
  std::swap(vm.driver, *again);
  EXPECT_TRUE(vm.reads_well(3 * kMiB, 4096));
  again->reset();
}

/// It comes when the next client has begun, whose first replies all have other sizes.
TEST(VboxTraps, ReplyThatComesTooLateForThat_IsNoticedByTheNext) {
  AttachedVm vm{{}, kShort};
  vm.vm.add_fault({.kind = sim::FaultKind::late, .delay = std::chrono::milliseconds{2000}});
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_EQ(refusal(vm, ",timeout=5s").kind, ErrorKind::source_failed);
  EXPECT_TRUE(eventually([&] { return vm.open().has_value(); }));
}

TEST(VboxTraps, RequestThatIsNotTaken_IsWithdrawn) {
  AttachedVm vm{{}, kShort};
  vm.vm.add_fault({.kind = sim::FaultKind::untaken});
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_FALSE(vm.vm.general_lock_held());
  // The next request is not refused because of the last one, but times out itself.
  EXPECT_EQ(refusal(vm).kind, ErrorKind::timed_out);
}

TEST(VboxTraps, ChannelLockThatIsKept_EndsTheConnection) {
  AttachedVm vm{{}, kShort};
  vm.vm.add_fault({.kind = sim::FaultKind::hold_lock});
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_FALSE(vm.vm.general_lock_held());
}

TEST(VboxTraps, GeneralLockOfADeadClient_IsBusy_AndNeverBroken) {
  AttachedVm vm{{}, kShort};
  vm.vm.hold_general_lock(true);
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::busy);
  const auto status = vm.driver->run_control()->run_status();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().kind, ErrorKind::busy);
  EXPECT_THAT(status.error().text, HasSubstr("dd of=/dev/shm/" + vm.vm.name()));
  EXPECT_EQ(refusal(vm).kind, ErrorKind::busy);
  EXPECT_TRUE(vm.vm.general_lock_held());
  EXPECT_FALSE(vm.driver->gone());
  vm.vm.hold_general_lock(false);
  EXPECT_TRUE(vm.reads_well(2 * kMiB, 4096));
}

/// A client that is killed while it has the lock, as vmemfs with its journal.
class KilledClient {
public:
  KilledClient(const std::string& name, LockJournal::Phase phase)
      : child_{[&] {
          const auto object = SharedObject::open(name, Channel::kObjectBytes);
          static LockJournal journal{object->id()};
          static_cast<void>(object->exchange(0, 1));
          journal.set(phase);
          return ChildValues{1};
        }} {}
  void kill() { child_.kill(); }

private:
  ForkedChild child_;
};

TEST(VboxTraps, GeneralLockOfAKilledVmemfs_IsReleasedByTheNext) {
  for (const auto phase : {LockJournal::Phase::held, LockJournal::Phase::asked}) {
    AttachedVm vm{{}, kShort};
    KilledClient client{vm.vm.name(), phase};
    EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::busy);
    EXPECT_EQ(refusal(vm).kind, ErrorKind::busy); // it lives
    client.kill();
    EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::busy);
    const auto next = vm.open(",timeout=2s");
    ASSERT_TRUE(next.has_value()) << next.error().message();
    EXPECT_TRUE(vm.reads_well(2 * kMiB, 4096));
  }
}

/// Somebody cleared the lock by hand, and another client has it now.
TEST(VboxTraps, NoteOfALockThatWasFreeSince_DoesNotCount) {
  AttachedVm vm{{}, kShort};
  KilledClient client{vm.vm.name(), LockJournal::Phase::asked};
  client.kill();
  vm.vm.hold_general_lock(false);
  EXPECT_TRUE(vm.open().has_value());
  vm.vm.hold_general_lock(true);
  EXPECT_EQ(refusal(vm).kind, ErrorKind::busy);
  EXPECT_TRUE(vm.vm.general_lock_held());
}

TEST(VboxTraps, NoteOfAKilledVmemfs_IsRemovedWithTheNextVm_UnlessItIsNeeded) {
  AttachedVm vm{{}, kShort};
  AttachedVm other{{}, kShort};
  const auto id = SharedObject::open(vm.vm.name(), Channel::kObjectBytes)->id();
  const auto notes = [prefix = fmt::format("vmemfs-fdp-{:x}-{:x}-", id.device, id.inode)] {
    return std::ranges::count_if(std::filesystem::directory_iterator{"/dev/shm"}, [&](const auto& entry) {
      return entry.path().filename().string().starts_with(prefix);
    });
  };
  const auto before = notes();
  KilledClient idle{vm.vm.name(), LockJournal::Phase::idle};
  vm.vm.hold_general_lock(false);
  KilledClient holder{vm.vm.name(), LockJournal::Phase::held};
  idle.kill();
  holder.kill();
  EXPECT_TRUE(other.open().has_value());
  EXPECT_EQ(notes(), before + 1);
  EXPECT_TRUE(vm.open().has_value());
  EXPECT_EQ(notes(), before);
}

TEST(VboxTraps, GeneralLockOfAnother_IsNotReleased_ThoughAKilledVmemfsWasIdle) {
  AttachedVm vm{{}, kShort};
  KilledClient client{vm.vm.name(), LockJournal::Phase::idle};
  client.kill();
  EXPECT_EQ(refusal(vm).kind, ErrorKind::busy);
  EXPECT_TRUE(vm.vm.general_lock_held());
}

TEST(VboxTraps, GeneralLockHeldForAMoment_IsWaitedFor) {
  AttachedVm vm;
  vm.vm.hold_general_lock(true);
  std::thread other{[&] {
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
    vm.vm.hold_general_lock(false);
  }};
  EXPECT_TRUE(vm.reads_well(2 * kMiB, 4096));
  other.join();
}

TEST(VboxTraps, ReplyThatADeadClientLeft_IsDropped) {
  AttachedVm vm;
  vm.vm.leave_reply();
  EXPECT_TRUE(vm.reads_well(2 * kMiB, 4096));
  vm.vm.leave_reply();
  EXPECT_TRUE(vm.open().has_value());
}

TEST(VboxTraps, RequestThatADeadClientLeft_IsAnsweredAndDropped) {
  AttachedVm vm{{.latency = std::chrono::milliseconds{20}}};
  vm.vm.hold_general_lock(true);
  std::vector<std::byte> buffer(4096);
  ReadPiece piece{Gpa{2 * kMiB}, buffer, 0, std::nullopt};
  vm.vm.set_awake(false);
  vm.vm.leave_request();
  vm.vm.hold_general_lock(false);
  std::thread reader{[&] { vm.driver->read({&piece, 1}); }};
  std::this_thread::sleep_for(std::chrono::milliseconds{100});
  vm.vm.set_awake(true);
  reader.join();
  EXPECT_FALSE(piece.failure);
  EXPECT_EQ(buffer, vm.truth(2 * kMiB, 4096));
  EXPECT_TRUE(vm.reads_well(3 * kMiB, 4096));
}

TEST(VboxTraps, ObjectThatIsCut_IsTheEnd) {
  AttachedVm vm;
  vm.vm.cut();
  EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone);
  EXPECT_EQ(vm.events.of(VmEvent::gone), 1);
}

TEST(VboxTraps, ObjectThatIsCutDuringAWait_IsTheEnd) {
  AttachedVm vm;
  vm.vm.add_fault({.kind = sim::FaultKind::silence});
  std::thread reader{[&] { EXPECT_EQ(vm.read(2 * kMiB, 4096).failure, ErrorKind::vm_gone); }};
  std::this_thread::sleep_for(std::chrono::milliseconds{100});
  const auto begin = Clock::now();
  vm.vm.cut();
  reader.join();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds{5});
}

TEST(VboxTraps, ObjectThatIsRemoved_IsNoticedByItself) {
  AttachedVm vm;
  vm.vm.end();
  EXPECT_TRUE(eventually([&] { return vm.events.of(VmEvent::gone) == 1; }));
  EXPECT_TRUE(vm.driver->gone());
  EXPECT_EQ(vm.driver->memory_writer()->write(Gpa{kMiB}, std::vector<std::byte>(8)).failure->kind,
            ErrorKind::vm_gone);
  EXPECT_EQ(refusal(vm).kind, ErrorKind::not_found);
}

TEST(VboxTraps, VirtualBoxThatHangs_IsNoticedByItself) {
  AttachedVm vm{{}, kShort};
  vm.vm.stop_serving();
  EXPECT_TRUE(eventually([&] { return vm.events.of(VmEvent::gone) == 1; }));
}

TEST(VboxTraps, CpuObjectMissing_IsRefused) {
  AttachedVm vm;
  ::shm_unlink(("CPU_" + vm.vm.name()).c_str());
  const Error error = refusal(vm);
  EXPECT_EQ(error.kind, ErrorKind::not_found);
  EXPECT_THAT(error.text, HasSubstr("CPU_"));
}

TEST(VboxTraps, NameWithASlash_IsRefused) {
  AttachedVm vm;
  const auto opened = AttachedVm::open_vm("name=a/b", {vm.watcher, vm.worker});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind, ErrorKind::invalid);
}

TEST(VboxTraps, NonsenseInTheGreeting_IsRefused) {
  for (const sim::Options& options :
       {sim::Options{.vcpus = 0}, sim::Options{.vcpus = 65}, sim::Options{.ram_bytes = 0},
        sim::Options{.ram_bytes = ~std::uint64_t{0}}}) {
    sim::Simulator vm{sim::Simulator::unique_name(), options};
    FdWatcher watcher;
    Worker worker;
    const auto opened = AttachedVm::open_vm("name=" + vm.name(), {watcher, worker});
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().kind, ErrorKind::source_failed);
  }
}

TEST(VboxTraps, RegistersOfARunningGuest_AreBusy) {
  AttachedVm vm;
  const auto sets = vm.driver->register_reader()->read_vcpu(VcpuId{0});
  ASSERT_FALSE(sets.has_value());
  EXPECT_EQ(sets.error().kind, ErrorKind::busy);
}

TEST(VboxTraps, UnknownRegister_IsAbsent_NotZero) {
  AttachedVm vm;
  vm.vm.set_paused(true);
  vm.vm.guest().set_register(0, 43, sim::kUnknown);
  vm.vm.guest().set_register(0, 29, 0x10000); // no selector
  const auto set = vm.driver->register_reader()->read_vcpu(VcpuId{0});
  ASSERT_TRUE(set.has_value());
  EXPECT_FALSE(set->get(Register::cr3));
  EXPECT_FALSE(set->get(Register::cs_selector));
  EXPECT_FALSE(set->get(Register::lstar));
  EXPECT_FALSE(set->get(Register::cs_base));
  EXPECT_TRUE(set->get(Register::cr4));
}

TEST(VboxTraps, RefusedRegister_IsAbsent) {
  AttachedVm vm;
  vm.vm.set_paused(true);
  vm.vm.add_fault({.kind = sim::FaultKind::refuse, .skip = 1});
  const auto set = vm.driver->register_reader()->read_vcpu(VcpuId{0});
  ASSERT_TRUE(set.has_value()) << set.error().message();
  EXPECT_FALSE(set->get(Register::rax));
  EXPECT_TRUE(set->get(Register::rbx));
}

TEST(VboxTraps, RegisterThatIsNotSetThoughItSaysSo_IsAnError) {
  AttachedVm vm{{.sets_registers = false}};
  vm.vm.set_paused(true);
  const RegisterValue value{Register::rbx, 0x1234};
  const auto written = vm.driver->register_writer()->write_registers(VcpuId{0}, {&value, 1});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().kind, ErrorKind::source_failed);
}

TEST(VboxTraps, PauseThatDoesNothing_TimesOut) {
  AttachedVm vm{{.obeys = false}, kShort};
  const auto paused = vm.driver->run_control()->pause();
  ASSERT_FALSE(paused.has_value());
  EXPECT_EQ(paused.error().kind, ErrorKind::timed_out);
  EXPECT_FALSE(vm.driver->gone());
}

TEST(VboxTraps, OldBytesInTheObject_AreNotZeroed) {
  AttachedVm vm;
  vm.vm.set_paused(true);
  EXPECT_TRUE(vm.open().has_value());
  EXPECT_TRUE(vm.vm.state_changed());
  EXPECT_THAT(vm.vm.seen().violations, IsEmpty());
}

} // namespace
} // namespace vmemfs::vbox
