// SPDX-License-Identifier: MIT
#include "linux/made_log.h"
#include "linux/printk/kernel_log.h"

#include <gtest/gtest.h>
#include <string>

namespace vmemfs {
namespace {

std::string log_of(MadeRing& ring) {
  const auto text = kernel_log(ring.memory, MadeRing::vmcoreinfo());
  return text ? *text : "error: " + text.error().text;
}

std::string log_of(MadeBuffer& buffer) {
  const auto text = kernel_log(buffer.memory, MadeBuffer::vmcoreinfo());
  return text ? *text : "error: " + text.error().text;
}

TEST(KernelLog, NoKeys_NoData) {
  MadeMemory memory;
  const auto text = kernel_log(memory, {.text = "OSRELEASE=6.1.0\n", .swapper_pg_dir = 0});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::no_data);
}

TEST(KernelLog, AnyMissingKeyOfTheRing_NoData) {
  MadeRing ring;
  ring.add("text");
  const Vmcoreinfo whole = MadeRing::vmcoreinfo();
  std::size_t begin = whole.text.find('\n') + 1;
  while (begin < whole.text.size()) {
    const std::size_t end = whole.text.find('\n', begin) + 1;
    Vmcoreinfo info = whole;
    info.text.erase(begin, end - begin);
    const auto text = kernel_log(ring.memory, info);
    ASSERT_FALSE(text) << whole.text.substr(begin, end - begin);
    EXPECT_EQ(text.error().kind, ErrorKind::no_data);
    begin = end;
  }
}

TEST(KernelLog, Records_OneLineEach) {
  MadeRing ring;
  ring.add("Linux version 6.1.0");
  ring.add("second", 1'250'000'999);
  ring.add("later", 123'456'000'001'000);
  EXPECT_EQ(log_of(ring), "[    0.000000] Linux version 6.1.0\n"
                          "[    1.250000] second\n"
                          "[123456.000001] later\n");
}

// As dmesg of util-linux 2.38 prints them in the C locale, but for \r, \v and \f.
TEST(KernelLog, SpecialBytes_AsDmesg) {
  MadeRing ring(3, 10);
  ring.add("multi\nline\nrecord", 7'000'000'000);
  ring.add("tab\there, bell\a, del\x7f, back\\slash, caf\xc3\xa9, bad\xff, return\r");
  ring.add(std::string_view{"zero\0byte", 9});
  ring.add("ends with a newline\n");
  EXPECT_EQ(log_of(ring),
            "[    7.000000] multi\n"
            "               line\n"
            "               record\n"
            "[    0.000000] tab\there, bell\\x07, del\\x7f, back\\slash, caf\\xc3\\xa9, bad\\xff, "
            "return\\x0d\n"
            "[    0.000000] zero\\x00byte\n"
            "[    0.000000] ends with a newline\n");
}

TEST(KernelLog, EmptyRecord_EmptyLine) {
  MadeRing ring;
  ring.add("before");
  ring.add_without_data(3);
  ring.add("after");
  EXPECT_EQ(log_of(ring), "[    0.000000] before\n\n[    0.000000] after\n");
}

TEST(KernelLog, RecordForWhichTheGuestHadNoRoom_LeftOutSilently) {
  MadeRing ring;
  ring.add("before");
  ring.add_without_data(1);
  ring.add("after");
  EXPECT_EQ(log_of(ring), "[    0.000000] before\n[    0.000000] after\n");
}

TEST(KernelLog, RingThatWrapped_TheNewestRecordsInOrder) {
  MadeRing ring;
  std::string expected;
  for (unsigned i = 0; i < 1000; ++i) {
    // Of several sizes, so that blocks end before, at and after the end of the data.
    const std::string text = "record " + std::to_string(i) + std::string(i % 20, '.');
    ring.add(text);
    expected += i >= 1000 - 8 ? "[    0.000000] " + text + '\n' : "";
  }
  EXPECT_EQ(log_of(ring), expected);
}

// Positions begin so that they overflow when the ring was filled once.
TEST(KernelLog, PositionsThatOverflow_AllRecords) {
  MadeRing ring(3, 8);
  std::string expected;
  std::uint64_t first = 0;
  for (unsigned i = 0; i < 7; ++i) {
    const std::string text = "record " + std::to_string(i) + std::string(20, '.');
    const std::uint64_t id = ring.add(text);
    first = i == 0 ? id : first;
    expected += i >= 1 ? "[    0.000000] " + text + '\n' : "";
  }
  ring.set_state(first, MadeRing::kReusable);
  EXPECT_EQ(log_of(ring), expected);
}

// Up to 6.16 the kernel never made such a block, later ones do.
TEST(KernelLog, BlockThatEndsWithTheData_IsRead) {
  MadeRing ring(3, 6);
  ring.add(std::string(24, 'a'));
  ring.add(std::string(24, 'b'));
  EXPECT_EQ(log_of(ring),
            "[    0.000000] " + std::string(24, 'a') + "\n[    0.000000] " + std::string(24, 'b') + '\n');
}

TEST(KernelLog, CommittedRecord_IsShown) {
  MadeRing ring;
  ring.set_state(ring.add("may be continued"), MadeRing::kCommitted);
  EXPECT_EQ(log_of(ring), "[    0.000000] may be continued\n");
}

TEST(KernelLog, ReusableRecords_LeftOutSilently) {
  MadeRing ring;
  ring.set_state(ring.add("old"), MadeRing::kReusable);
  ring.add("new");
  EXPECT_EQ(log_of(ring), "[    0.000000] new\n");
}

TEST(KernelLog, RecordThatIsBeingWritten_LeftOutAndSaid) {
  MadeRing ring;
  ring.add("whole");
  ring.set_state(ring.add("half"), MadeRing::kReserved);
  EXPECT_EQ(log_of(ring), "[    0.000000] whole\n# incomplete: 1 record could not be read\n");
}

TEST(KernelLog, BlockOfAnotherRecord_LeftOutAndSaid) {
  MadeRing ring;
  ring.add("first");
  const std::uint64_t begin = ring.next_position();
  const std::uint64_t id = ring.add("second");
  ring.memory.write(MadeRing::kData + begin % 512, id + 8);
  ring.add("third");
  EXPECT_EQ(log_of(ring),
            "[    0.000000] first\n[    0.000000] third\n# incomplete: 1 record could not be read\n");
}

TEST(KernelLog, SequenceOfAnotherRecord_LeftOutAndSaid) {
  MadeRing ring;
  ring.add("first");
  ring.memory.write(ring.info(ring.add("second")), std::uint64_t{7});
  EXPECT_EQ(log_of(ring), "[    0.000000] first\n# incomplete: 1 record could not be read\n");
}

TEST(KernelLog, PositionsWithoutSense_LeftOut) {
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  for (const auto& [begin, next] : {std::pair<std::uint64_t, std::uint64_t>{0, 0},
                                    {64, 56},
                                    {0, 4},
                                    {0, 1024},
                                    {508, 516},
                                    {kMax - 1, kMax},
                                    {2, kMax},
                                    {kMax, 2}}) {
    MadeRing ring;
    ring.add("first");
    ring.set_position(ring.add("second"), begin, next);
    const std::string text = log_of(ring);
    EXPECT_EQ(text, "[    0.000000] first\n# incomplete: 1 record could not be read\n")
        << begin << ' ' << next;
  }
}

TEST(KernelLog, LengthBeyondTheBlock_CutThere) {
  MadeRing ring;
  ring.memory.write(ring.info(ring.add("12345678")) + 16, std::uint16_t{65535});
  EXPECT_EQ(log_of(ring), "[    0.000000] 12345678\n");
}

TEST(KernelLog, RecordOverwrittenWhileItIsRead_NotShown) {
  MadeRing ring;
  ring.add("first");
  const std::uint64_t id = ring.add("second");
  ring.memory.before_read = [&](std::uint64_t address) {
    if (address >= MadeRing::kData && address < MadeRing::kData + 512) {
      ring.set_state(id, MadeRing::kReserved);
    }
  };
  EXPECT_EQ(log_of(ring), "[    0.000000] first\n# incomplete: 1 record could not be read\n");
}

TEST(KernelLog, RecordChangedOnceWhileItIsRead_ReadAgain) {
  MadeRing ring;
  ring.add("first");
  const std::uint64_t id = ring.add("second");
  const std::uint64_t begin = ring.next_position();
  ring.add("third");
  bool moved = false;
  ring.memory.before_read = [&](std::uint64_t address) {
    if (!moved && address >= MadeRing::kData && address < MadeRing::kData + 512) {
      moved = true;
      ring.memory.write(MadeRing::kData + (begin + 64) % 512, id);
      ring.memory.write_text(MadeRing::kData + (begin + 64) % 512 + 8, "longer");
      ring.memory.write(ring.info(id) + 16, std::uint16_t{6});
      ring.set_position(id, begin + 64, begin + 80);
    }
  };
  EXPECT_EQ(log_of(ring), "[    0.000000] first\n[    0.000000] longer\n[    0.000000] third\n");
}

TEST(KernelLog, SizesBeyondTheLimits_NoData) {
  for (const std::uint32_t bits : {0U, 22U, 63U, 64U, 0xffffffffU}) {
    MadeRing ring;
    ring.add("text");
    ring.memory.write(MadeRing::kRing, bits);
    const auto text = kernel_log(ring.memory, MadeRing::vmcoreinfo());
    ASSERT_FALSE(text) << bits;
    EXPECT_EQ(text.error().kind, ErrorKind::no_data);
  }
}

TEST(KernelLog, MemberOutsideItsStructure_NoData) {
  MadeRing ring;
  ring.add("text");
  for (const std::string_view key : {"OFFSET(prb_desc.state_var)=", "OFFSET(printk_info.seq)="}) {
    Vmcoreinfo info = MadeRing::vmcoreinfo();
    info.text.insert(info.text.find(key) + key.size(), "99999999");
    const auto text = kernel_log(ring.memory, info);
    ASSERT_FALSE(text) << key;
    EXPECT_EQ(text.error().kind, ErrorKind::no_data);
  }
}

TEST(KernelLog, MemoryThatIsNotMapped_NoData) {
  for (const std::uint64_t address : {MadeRing::kPrb, MadeRing::kRing}) {
    MadeRing ring;
    ring.add("text");
    ring.memory.unmap(address);
    const auto text = kernel_log(ring.memory, MadeRing::vmcoreinfo());
    ASSERT_FALSE(text) << address;
    EXPECT_EQ(text.error().kind, ErrorKind::no_data);
  }
}

TEST(KernelLog, HeadAndTailWithoutSense_AllDescriptorsOnce) {
  MadeRing ring;
  ring.add("text");
  ring.memory.write(MadeRing::kRing + 32, std::uint64_t{0x123456789});
  EXPECT_EQ(log_of(ring), "[    0.000000] text\n# incomplete: 7 records could not be read\n");
}

TEST(KernelLogBuffer, Records_OneLineEach) {
  MadeBuffer buffer;
  buffer.add("Linux version 4.19.0");
  buffer.add("second\nline", 1'250'000'999, "SUBSYSTEM=pci");
  EXPECT_EQ(log_of(buffer),
            "[    0.000000] Linux version 4.19.0\n[    1.250000] second\n               line\n");
}

TEST(KernelLogBuffer, Empty_NoLines) {
  MadeBuffer buffer;
  EXPECT_EQ(log_of(buffer), "");
}

TEST(KernelLogBuffer, BufferThatWrapped_InOrder) {
  MadeBuffer buffer;
  buffer.add(std::string(200, 'a'));
  const std::uint32_t first = buffer.add(std::string(200, 'b'));
  const std::uint32_t at = buffer.add(std::string(100, 'c'));
  ASSERT_EQ(at, 0U);
  buffer.set_bounds(first, at + 116);
  EXPECT_EQ(log_of(buffer),
            "[    0.000000] " + std::string(200, 'b') + "\n[    0.000000] " + std::string(100, 'c') + '\n');
}

TEST(KernelLogBuffer, LengthsWithoutSense_EndThere) {
  for (const std::uint16_t length : {std::uint16_t{1}, std::uint16_t{15}, std::uint16_t{65535}}) {
    MadeBuffer buffer;
    buffer.add("first");
    const std::uint32_t at = buffer.add("second");
    buffer.memory.write(MadeBuffer::kBuffer + at + 8, length);
    EXPECT_EQ(log_of(buffer), "[    0.000000] first\n# incomplete: 1 record could not be read\n");
  }
}

TEST(KernelLogBuffer, ZeroesToItsEnd_NoLoop) {
  MadeBuffer buffer;
  buffer.set_bounds(16, 8);
  EXPECT_EQ(log_of(buffer), "# incomplete: 1 record could not be read\n");
}

TEST(KernelLogBuffer, BoundsOutsideTheBuffer_NoData) {
  MadeBuffer buffer;
  buffer.set_bounds(512, 0);
  const auto text = kernel_log(buffer.memory, MadeBuffer::vmcoreinfo());
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::no_data);
}

TEST(KernelLogBuffer, GuestThatWritesWithoutEnd_SaidAsIncomplete) {
  MadeBuffer buffer;
  std::uint32_t at = 0;
  for (unsigned i = 0; i < 8; ++i) {
    buffer.add("record " + std::to_string(i));
  }
  buffer.memory.before_read = [&](std::uint64_t address) {
    if (address == MadeBuffer::kBuffer) {
      at += 24;
      buffer.set_bounds(at, 192);
    }
  };
  EXPECT_EQ(log_of(buffer), "[    0.000000] record 3\n[    0.000000] record 4\n[    0.000000] record 5\n"
                            "[    0.000000] record 6\n[    0.000000] record 7\n"
                            "# incomplete: 1 record could not be read\n");
}

} // namespace
} // namespace vmemfs
