// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "fs/files/text/virtual_maps_text.h"
#include "fs/files/virt/virtual_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using x86_64::Register;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 0x80;
constexpr std::uint64_t kRoot = kMiB;
constexpr std::uint64_t kThird = kMiB + 0x1000;

/// 4 MiB of RAM with a hole in the third one. The vCPU has 4-level paging; nothing is mapped yet.
class VirtualFileTest : public testing::Test {
protected:
  VirtualFileTest() {
    for (std::uint64_t word = kRoot; word < kThird + kPageSize; word += sizeof word) {
      fixture.write_word(word, 0);
    }
    fixture.write_word(kRoot, kThird | kPresent);
    set(Register::cr0, 0x80050033);
    set(Register::cr3, kRoot);
    set(Register::cr4, 0x3506f0);
    set(Register::efer, 0xd01);
  }
  static FakeOptions guest() {
    FakeOptions options;
    options.size = 4 * kMiB;
    options.holes = {GpaRange{Gpa{2 * kMiB}, Gpa{3 * kMiB}}};
    return options;
  }
  void set(Register reg, std::uint64_t value) const {
    const RegisterValue one{reg, value};
    ASSERT_TRUE(fixture.vm->guest().write_registers(VcpuId{0}, {&one, 1}));
  }
  /// Physical memory from 0 on, at a multiple of 1 GiB.
  void map_all(std::uint64_t gibibyte) const { fixture.write_word(kThird + gibibyte * 8, kLarge | kPresent); }
  /// The number of bytes of reads from 0 to the end, or of 64 MiB.
  std::size_t read_through(std::size_t step) {
    std::size_t done = 0;
    while (done < 64 * kMiB) {
      const auto answer = read_file(file, done, step);
      EXPECT_FALSE(answer->error()) << done;
      if (answer->bytes().empty()) {
        break;
      }
      done += answer->bytes().size();
    }
    return done;
  }

  VmFixture fixture{guest(), {.writable = true}};
  VirtualFile file{guest_of(fixture.vm), VcpuId{0}};
};

TEST_F(VirtualFileTest, Read_MappedOrNot) {
  map_all(1);
  const std::uint64_t word = fake_word(Gpa{0x5000});
  const std::string expected{reinterpret_cast<const char*>(&word), sizeof word};
  EXPECT_EQ(read_file(file, (1U << 30U) + 0x5000, 8)->bytes(), expected);
  EXPECT_EQ(read_file(file, (1U << 30U) + 2 * kMiB - 8, 4096)->bytes().size(), 8U);
  EXPECT_EQ(read_file(file, (1U << 30U) + 2 * kMiB, 8)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(file, 0x5000, 8)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(file, 0x7fff800000000000, 8)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(file, (1ULL << 63U) - 8, 8)->error(), ErrorKind::source_failed);
  EXPECT_EQ(fixture.vm->guest().counters().reads.failed.load(), 4U);
}

TEST_F(VirtualFileTest, ReadFromTheStart_EndsWhereNothingIsMapped) {
  EXPECT_EQ(read_through(4096), 0U);
  map_all(0);
  for (const std::size_t step : {std::size_t{4096}, std::size_t{100'003}, std::size_t{kMiB}}) {
    EXPECT_EQ(read_through(step), 2 * kMiB) << "up to the hole";
  }
  EXPECT_EQ(read_file(file, 2 * kMiB, 8)->bytes(), "");
  EXPECT_EQ(read_file(file, 2 * kMiB + 8, 8)->error(), ErrorKind::source_failed) << "not continued";
}

TEST_F(VirtualFileTest, ReadFromTheStart_AllIsMapped_EndsAfterTheSizeOfMemory) {
  for (std::uint64_t index = 0; index < 512; ++index) {
    fixture.write_word(kRoot + index * 8, kRoot | kPresent);
  }
  EXPECT_EQ(read_through(100'003), 4 * kMiB);
  EXPECT_EQ(read_file(file, 40 * kMiB, 8)->bytes().size(), 8U);
}

TEST_F(VirtualFileTest, ReadFromTheStart_SourceFails_Error) {
  map_all(0);
  fixture.fault->fail_nth(FaultPoint::read, 1);
  EXPECT_EQ(read_file(file)->error(), ErrorKind::source_failed);
}

/// A guest decides what is mapped, so it must not decide how much a copy of the tree holds.
TEST(VirtualFileFromTheStart, MuchMemory_EndsAt16MiB) {
  constexpr std::uint64_t kEnd = 16 * kMiB;
  FakeOptions options;
  options.size = 2 * kEnd;
  options.holes = {};
  options.bad = {};
  const VmFixture fixture{options, {.writable = true}};
  const RegisterValue no_paging{Register::cr0, 0x6000'0010};
  ASSERT_TRUE(fixture.vm->guest().write_registers(VcpuId{0}, {&no_paging, 1}));
  VirtualFile file{guest_of(fixture.vm), VcpuId{0}};
  std::size_t done = 0;
  for (std::size_t size = 1; size > 0 && done < 2 * kEnd; done += size) {
    size = read_file(file, done, kMiB)->bytes().size();
  }
  EXPECT_EQ(done, kEnd);
  EXPECT_EQ(read_file(file, kEnd + 8, 8)->bytes().size(), 8U) << "not from the start";
}

TEST_F(VirtualFileTest, RegistersCannotBeRead_FailureIsPassedOn) {
  VirtualFile absent{guest_of(fixture.vm), VcpuId{7}};
  EXPECT_EQ(read_file(absent)->error(), ErrorKind::vcpu_gone);
  fixture.fake->die();
  EXPECT_EQ(read_file(file)->error(), ErrorKind::vm_gone);
}

TEST_F(VirtualFileTest, WriteAndSeek_Refused) {
  EXPECT_EQ(file.write("1", 0).error().kind, ErrorKind::read_only);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_DATA); })->error(), ErrorKind::invalid);
}

TEST(VirtualMapsText, RangesAndThoseNotSearched) {
  const std::vector<MappedRange> ranges{
      {0x1000, 0x2fff, true, {.write = false, .user = true, .execute = true}, Gpa{0x5000}},
      {0x3000, 0x3fff, false},
      {0xffffffff80000000, ~0ULL, true, {.write = true, .user = false, .execute = false}}};
  EXPECT_EQ(virtual_maps_text(ranges), "# START-END size rights physical\n"
                                       "0000000000001000-0000000000003000 0x2000 r-xu 0000000000005000\n"
                                       "# 0000000000003000-0000000000004000 not searched\n"
                                       "ffffffff80000000-10000000000000000 0x80000000 rw-- -\n");
}

} // namespace
} // namespace vmemfs::test
