// SPDX-License-Identifier: MIT
#include "fs/files/memory_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <cstring>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

/// 4 MiB of RAM with a hole in the second one.
FakeOptions guest() {
  FakeOptions options;
  options.size = 4 * kMiB;
  options.holes = {GpaRange{Gpa{kMiB}, Gpa{2 * kMiB}}};
  return options;
}

std::string pattern(std::uint64_t begin, std::size_t size) {
  std::string bytes;
  for (std::uint64_t at = begin; at < begin + size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = fake_word(Gpa{at});
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return bytes;
}

TEST(MemoryFile, Read_InsideRam_GivesGuestMemory) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  EXPECT_EQ(read_file(file, 4096, 8192)->bytes(), pattern(4096, 8192));
  EXPECT_EQ(read_file(file, 4 * kMiB)->bytes(), "");
}

TEST(MemoryFile, Read_InHole_DependsOnPolicy) {
  const VmFixture fixture{guest()};
  MemoryFile honest{guest_of(fixture.vm), HolePolicy::honest};
  MemoryFile padded{guest_of(fixture.vm), HolePolicy::padded};
  EXPECT_EQ(read_file(honest, kMiB)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(padded, kMiB)->bytes(), std::string(4096, '\0'));
}

TEST(MemoryFile, Read_UpToHole_ShortOnlyIfNotMapped) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  EXPECT_EQ(read_file(file, kMiB - 4096, 8192)->bytes(), pattern(kMiB - 4096, 4096));
  EXPECT_EQ(read_file(file, kMiB - 4096, 8192, true)->error(), ErrorKind::source_failed);
}

TEST(MemoryFile, Read_VmGone_AnswersGoneOnceAndCounts) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  fixture.fake->die();
  const auto answer = read_file(file);
  EXPECT_EQ(answer->error(), ErrorKind::vm_gone);
  EXPECT_EQ(answer->count(), 1);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_DATA); })->error(), ErrorKind::vm_gone);
}

TEST(MemoryFile, Seek_FindsBordersOfHoles) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_HOLE); })->number(), kMiB);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, kMiB, SEEK_DATA); })->number(), 2 * kMiB);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 4 * kMiB, SEEK_DATA); })->error(),
            ErrorKind::past_end);
}

TEST(MemoryFile, Write_NeedsWritesOn) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  EXPECT_EQ(file.write("12345678", 4096).error().kind, ErrorKind::read_only);
  ASSERT_TRUE(fixture.vm->write_gate().set_writable(true));
  EXPECT_EQ(file.write("12345678", 4096), 8U);
  EXPECT_EQ(read_file(file, 4096, 8)->bytes(), "12345678");
}

TEST(MemoryFile, Open_CountsAsViewUntilClosed) {
  const VmFixture fixture{guest()};
  EXPECT_FALSE(fixture.vm->run_state().in_use());
  {
    const MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
    EXPECT_TRUE(fixture.vm->run_state().in_use());
  }
  EXPECT_FALSE(fixture.vm->run_state().in_use());
}

} // namespace
} // namespace vmemfs::test
