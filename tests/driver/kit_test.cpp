// SPDX-License-Identifier: MIT
// The parts in src/driver/kit.
#include "arch/x86_64/registers.h"
#include "driver/kit/changed_registers.h"
#include "driver/kit/listener_slot.h"
#include "driver/kit/owner_lease.h"
#include "driver/kit/read_pieces.h"
#include "driver/kit/ticket_text.h"

#include <array>
#include <atomic>
#include <gtest/gtest.h>
#include <optional>
#include <thread>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;

struct SlowListener : VmListener {
  void on_vm_event(VmEvent /*event*/) override {
    inside = true;
    std::this_thread::sleep_for(30ms);
    ended = true;
  }
  std::atomic<bool> inside{false};
  std::atomic<bool> ended{false};
};

TEST(ListenerSlot, Removal_WaitsForACallAndKeepsLaterOnesAway) {
  ListenerSlot slot;
  slot.emit(VmEvent::paused); // nobody listens
  SlowListener listener;
  slot.set(&listener);
  const std::jthread caller{[&] { slot.emit(VmEvent::paused); }};
  while (!listener.inside) {
    std::this_thread::yield();
  }
  slot.set(nullptr);
  EXPECT_TRUE(listener.ended);
  listener.inside = false;
  slot.emit(VmEvent::resumed);
  EXPECT_FALSE(listener.inside);
}

struct Owner {
  int uses = 0;
  OwnerLease<Owner> lease{*this};
};

TEST(OwnerLease, JobAfterTheEnd_DoesNotRun) {
  auto owner = std::make_optional<Owner>();
  const auto share = owner->lease.share();
  EXPECT_TRUE(share.with([](Owner& alive) { ++alive.uses; }));
  EXPECT_EQ(owner->uses, 1);
  owner.reset();
  EXPECT_FALSE(share.with([](Owner& /*alive*/) { FAIL() << "the owner has ended"; }));
}

TEST(OwnerLease, End_WaitsForAJob) {
  auto owner = std::make_optional<Owner>();
  std::atomic<bool> inside{false};
  std::atomic<bool> done{false};
  const std::jthread job{[&, share = owner->lease.share()] {
    share.with([&](Owner& alive) {
      inside = true;
      std::this_thread::sleep_for(30ms);
      ++alive.uses;
      done = true;
    });
  }};
  while (!inside) {
    std::this_thread::yield();
  }
  owner.reset();
  EXPECT_TRUE(done);
}

TEST(ReadPieces, Failed_HaveNothingOfWhatWasReadBefore) {
  std::array<ReadPiece, 2> pieces;
  pieces[0].done = 17;
  pieces[1].failure = ErrorKind::hole;
  fail_pieces(pieces, ErrorKind::vm_gone);
  for (const ReadPiece& piece : pieces) {
    EXPECT_EQ(piece.done, 0U);
    EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  }
}

TEST(ChangedRegisters, HaveOtherOrNewValuesOnly) {
  using x86_64::Register;
  RegisterSet now{x86_64::register_layout()};
  now.set(Register::rax, 1);
  now.set(Register::rbx, 2);
  const std::array<RegisterValue, 3> asked{RegisterValue{Register::rax, 1}, RegisterValue{Register::rbx, 3},
                                           RegisterValue{Register::rcx, 4}};
  const auto changed = changed_registers(now, asked);
  ASSERT_EQ(changed.size(), 2U);
  EXPECT_EQ(changed[0].reg, RegisterIndex{Register::rbx});
  EXPECT_EQ(changed[0].value, 3U);
  EXPECT_EQ(changed[1].reg, RegisterIndex{Register::rcx});
}

constexpr std::array<std::string_view, 2> kKeys{"pid", "path"};

TEST(TicketText, RoundTrips) {
  const std::string text =
      ticket_text(std::array{TicketField{"pid", "12"}, TicketField{"path", "/a\nb=c=d"}});
  EXPECT_EQ(text, "pid=12\npath=/a\nb=c=d");
  const auto values = parse_ticket(text, kKeys, "toy");
  ASSERT_TRUE(values);
  EXPECT_EQ(*values, (std::vector<std::string_view>{"12", "/a\nb=c=d"}));
  EXPECT_TRUE(parse_ticket("pid=\npath=", kKeys, "toy")); // what a value must be is the driver's business
}

TEST(TicketText, OtherText_IsRefused) {
  for (const std::string_view text : {"", "pid", "pid=", "pid=1", "pid=1\n", "pid=1\npat=2", "path=1\npid=2",
                                      "pid 1\npath=2", "xpid=1\npath=2", "pid=1\n\npath=2"}) {
    const auto values = parse_ticket(text, kKeys, "toy");
    ASSERT_FALSE(values) << text;
    EXPECT_EQ(values.error().kind, ErrorKind::invalid);
    EXPECT_EQ(values.error().origin, "toy");
  }
}

} // namespace
} // namespace vmemfs
