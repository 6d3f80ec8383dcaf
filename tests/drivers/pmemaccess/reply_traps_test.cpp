// SPDX-License-Identifier: MIT
// What a memory socket does that its description does not promise: each a test against the simulator. The
// truth about the bytes is the simulator's own.
#include "drivers/pmemaccess/session/memory_session.h"
#include "tests/drivers/pmemaccess/attached_vm.h"

#include <algorithm>
#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::pmemaccess {
namespace {

using sim::FaultKind;
using std::chrono::milliseconds;
using testing::IsEmpty;

constexpr std::uint64_t kRam = 0x200000;

bool is_untouched(const std::vector<std::byte>& buffer) {
  return std::ranges::all_of(buffer, [](std::byte byte) { return byte == std::byte{0xee}; });
}

TEST(ReplyTraps, AnyStatusButZero_IsASuccess) {
  AttachedVm vm;
  for (const int status : {0x02, 0x80, 0xff}) {
    vm.qemu.add_fault({.kind = FaultKind::status, .value = static_cast<std::uint8_t>(status)});
    EXPECT_TRUE(vm.reads_well(kRam, 4096)) << status;
  }
}

TEST(ReplyTraps, StatusOfZeroAfterTheData_GivesNothingToAnybody) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::status, .value = 0});
  const ReadPiece piece = vm.read(kRam, 4096);
  EXPECT_EQ(piece.done, 0U);
  EXPECT_EQ(piece.failure, ErrorKind::bad_page);
  EXPECT_TRUE(is_untouched(vm.buffer));
  EXPECT_TRUE(vm.reads_well(kRam, 4096)) << "the stream is in step";
  EXPECT_EQ(vm.qemu.seen().sessions, 1U);
}

TEST(ReplyTraps, OneByteOfAnyValue_IsAFailure) {
  AttachedVm vm;
  for (const int value : {0x00, 0x01, 0x5a, 0xff}) {
    vm.qemu.add_fault({.kind = FaultKind::refuse, .value = static_cast<std::uint8_t>(value)});
    const ReadPiece piece = vm.read(kRam, 4096);
    EXPECT_EQ(piece.done, 0U) << value;
    EXPECT_EQ(piece.failure, ErrorKind::bad_page) << value;
    EXPECT_TRUE(is_untouched(vm.buffer));
    EXPECT_TRUE(vm.reads_well(kRam + 4096, 4096)) << "the stream is in step";
  }
  EXPECT_EQ(vm.qemu.seen().sessions, 1U);
  EXPECT_THAT(vm.qemu.seen().violations, IsEmpty());
}

TEST(ReplyTraps, FailedReadOfOneByte_IsNotTakenForItsByte) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::refuse, .value = 1});
  EXPECT_EQ(vm.read(kRam, 1).failure, ErrorKind::bad_page);
  EXPECT_TRUE(is_untouched(vm.buffer));
  EXPECT_TRUE(vm.reads_well(kRam + 1, 1));
}

TEST(ReplyTraps, EveryFormOfAFailure_EndsThePieceAtTheBadPage) {
  for (const auto form :
       {sim::FailureForm::first_byte, sim::FailureForm::one_byte, sim::FailureForm::documented}) {
    AttachedVm vm{{.failure = form}};
    vm.qemu.guest().make_bad(kRam + 0x3000, kRam + 0x4000);
    const ReadPiece piece = vm.read(kRam, 0x8000);
    EXPECT_EQ(piece.done, 0x3000U) << static_cast<int>(form);
    EXPECT_EQ(piece.failure, ErrorKind::bad_page);
    vm.buffer.resize(piece.done);
    EXPECT_EQ(vm.buffer, vm.truth(kRam, 0x3000));
    EXPECT_TRUE(vm.reads_well(kRam + 0x4000, 0x4000));
  }
}

TEST(ReplyTraps, ABadPage_FailsOnlyThePiecesThatHaveIt) {
  AttachedVm vm;
  vm.qemu.guest().make_bad(kRam + 0x1000, kRam + 0x2000);
  std::vector<std::vector<std::byte>> buffers(4, std::vector<std::byte>(0x1000));
  std::vector<ReadPiece> pieces;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    pieces.push_back({Gpa{kRam + i * 0x1000}, buffers[i], 0, std::nullopt});
  }
  vm.driver->read(pieces);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_EQ(pieces[i].failure.has_value(), i == 1) << i;
    EXPECT_EQ(pieces[i].done, i == 1 ? 0U : 0x1000U) << i;
    if (i != 1) {
      EXPECT_EQ(buffers[i], vm.truth(kRam + i * 0x1000, 0x1000)) << i;
    }
  }
}

/// Each failure costs the grace time.
TEST(ReplyTraps, BadPageInALargeRead_IsFoundByThreeFailures) {
  AttachedVm vm;
  vm.qemu.guest().make_bad(kRam + 0xab000, kRam + 0xac000);
  const unsigned before = vm.qemu.seen().reads;
  const ReadPiece piece = vm.read(kRam, kMaxRead);
  EXPECT_EQ(piece.done, 0xab000U);
  EXPECT_EQ(piece.failure, ErrorKind::bad_page);
  vm.buffer.resize(piece.done);
  EXPECT_EQ(vm.buffer, vm.truth(kRam, 0xab000));
  EXPECT_EQ(vm.qemu.seen().reads - before, 1 + 11 + 12U)
      << "a MiB, the tenth 64 KiB of it, its eleventh page";
  EXPECT_EQ(vm.qemu.seen().sessions, 1U);
}

TEST(ReplyTraps, LargeReplyInPieces_IsCollected) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::split, .value = 255});
  EXPECT_TRUE(vm.reads_well(kRam, kMaxRead));
  vm.qemu.add_fault({.kind = FaultKind::late_rest, .delay = MemorySession::kGrace * 8});
  EXPECT_TRUE(vm.reads_well(kRam, kMaxRead)) << "read again in a new session";
  EXPECT_TRUE(vm.reads_well(kRam + kMaxRead, kMaxRead));
  EXPECT_EQ(vm.qemu.seen().sessions, 2U);
}

/// A reply of a MiB would take so much of the time limit that others would wait in vain.
TEST(ReplyTraps, SlowLink_GetsSmallRequests) {
  AttachedVm vm{{.latency = milliseconds{150}}, ",timeout=2s"};
  EXPECT_TRUE(vm.reads_well(kRam, 3 * kMaxSlowRead));
  EXPECT_EQ(vm.qemu.seen().max_read, kMaxSlowRead);
}

TEST(ReplyTraps, ReplyInPieces_IsCollected) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::split, .value = 100});
  EXPECT_TRUE(vm.reads_well(kRam, 65536));
  vm.qemu.add_fault({.kind = FaultKind::split, .value = 60, .delay = milliseconds{20}});
  EXPECT_TRUE(vm.reads_well(kRam, 200));
  EXPECT_EQ(vm.qemu.seen().sessions, 1U);
}

/// The verdict of a failure was wrong, and the bytes that come then are not taken for another reply.
TEST(ReplyTraps, RestOfAReplyAfterTheGrace_IsNeverTakenForTheNextReply) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::late_rest, .delay = MemorySession::kGrace * 8});
  EXPECT_TRUE(vm.reads_well(kRam, 4096)) << "read again in a new session";
  EXPECT_TRUE(vm.reads_well(kRam + 4096, 4096));
  EXPECT_EQ(vm.qemu.seen().sessions, 2U);
}

TEST(ReplyTraps, ByteThatNobodyAskedFor_EndsTheSession) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::extra});
  EXPECT_TRUE(vm.reads_well(kRam, 4096));
  EXPECT_TRUE(vm.reads_well(kRam + 4096, 4096));
  EXPECT_TRUE(vm.reads_well(kRam + 8192, 4096));
  EXPECT_EQ(vm.qemu.seen().sessions, 2U);
}

TEST(ReplyTraps, ReplyAfterTheDeadline_IsATimeout_AndNeverTheNextReply) {
  AttachedVm vm{{}, ",timeout=2s"};
  vm.qemu.add_fault({.kind = FaultKind::late, .delay = milliseconds{3500}});
  const ReadPiece piece = vm.read(kRam, 4096);
  EXPECT_EQ(piece.failure, ErrorKind::timed_out);
  EXPECT_EQ(piece.done, 0U);
  EXPECT_TRUE(is_untouched(vm.buffer));
  EXPECT_TRUE(test::eventually([&] { return vm.reads_well(kRam + 0x5000, 4096); }));
  EXPECT_EQ(vm.qemu.seen().sessions, 2U);
}

TEST(ReplyTraps, Silence_IsATimeout) {
  AttachedVm vm{{}, ",timeout=2s"};
  vm.qemu.add_fault({.kind = FaultKind::late, .delay = std::chrono::hours{1}});
  EXPECT_EQ(vm.read(kRam, 4096).failure, ErrorKind::timed_out);
}

TEST(ReplyTraps, ClosedSocket_IsOpenedAgain) {
  for (const auto kind : {FaultKind::close, FaultKind::close_amid, FaultKind::close_after}) {
    AttachedVm vm;
    vm.qemu.add_fault({.kind = kind});
    EXPECT_TRUE(vm.reads_well(kRam, 65536)) << static_cast<int>(kind);
    EXPECT_TRUE(vm.reads_well(kRam + 65536, 65536));
    EXPECT_EQ(vm.qemu.seen().sessions, 2U);
    EXPECT_FALSE(vm.driver->gone());
  }
}

TEST(ReplyTraps, SocketThatClosesAgainAndAgain_FailsTheRead) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = FaultKind::close_amid, .times = 2});
  const ReadPiece piece = vm.read(kRam, 4096);
  EXPECT_EQ(piece.failure, ErrorKind::source_failed);
  EXPECT_EQ(piece.done, 0U);
  EXPECT_TRUE(is_untouched(vm.buffer));
  EXPECT_TRUE(vm.reads_well(kRam, 4096));
}

TEST(ReplyTraps, SilentSocket_BatchEndsAtItsTimeLimit_AndMakesNoMoreSessions) {
  AttachedVm vm{{}, ",timeout=500ms"};
  vm.qemu.add_fault({.kind = FaultKind::silence, .times = 1000});
  const unsigned before = vm.qemu.seen().sessions;
  std::vector<std::vector<std::byte>> buffers(64, std::vector<std::byte>(4096));
  std::vector<ReadPiece> pieces;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    pieces.push_back({Gpa{kRam + i * 65536}, buffers[i], 0, std::nullopt});
  }
  vm.driver->read(pieces);
  for (const ReadPiece& piece : pieces) {
    EXPECT_EQ(piece.failure, ErrorKind::timed_out);
    EXPECT_EQ(piece.done, 0U);
  }
  EXPECT_LE(vm.qemu.seen().sessions - before, 4U) << "each of 64 requests made one, by the monitor";
}

TEST(ReplyTraps, EveryVariant_ReadsAboveFourGiB_AndEndsProperly) {
  for (const auto variant : {sim::Variant::u64, sim::Variant::u8, sim::Variant::old, sim::Variant::v2_4}) {
    AttachedVm vm{{.variant = variant}};
    EXPECT_TRUE(vm.reads_well(0x17fff0000, 0x10000)) << static_cast<int>(variant);
    EXPECT_TRUE(vm.reads_well(0x100000003, 13));
    EXPECT_TRUE(vm.reads_well(0x200001, 3 << 20)) << "in requests that QEMU can do";
    vm.driver.reset();
    EXPECT_TRUE(test::eventually([&] { return vm.qemu.seen().quits == 1; })) << static_cast<int>(variant);
    EXPECT_THAT(vm.qemu.seen().violations, IsEmpty());
    EXPECT_EQ(vm.qemu.seen().max_read, kMaxRead);
  }
}

} // namespace
} // namespace vmemfs::pmemaccess
