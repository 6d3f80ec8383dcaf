// SPDX-License-Identifier: MIT
#include "driver/decorators/forwarding_driver.h"
#include "fs/files/image_file.h"
#include "fs/files/memory_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

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

/// A guest of which only some pages are held. Each call searches one page and takes some time.
class SparseDriver : public ForwardingDriver {
public:
  SparseDriver(std::unique_ptr<Driver> inner, std::vector<std::uint64_t> held,
               std::chrono::milliseconds delay)
      : ForwardingDriver{std::move(inner)}, held_{std::move(held)}, delay_{delay} {}

  UseSearch find(GpaRange range, MemoryUse wanted) override {
    std::this_thread::sleep_for(delay_);
    const bool held = std::ranges::find(held_, range.begin.page_start().value()) != held_.end();
    if (held == (wanted == MemoryUse::held)) {
      return {0, true};
    }
    return {std::min(range.size(), kPageSize - range.begin.page_offset()), false};
  }
  std::optional<std::uint64_t> held_bytes() const override { return held_.size() * kPageSize; }

private:
  std::vector<std::uint64_t> held_;
  std::chrono::milliseconds delay_;
};

VmFixture::Wrap sparse(std::vector<std::uint64_t> held, std::chrono::milliseconds delay = {}) {
  return [held, delay](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
    return std::make_unique<SparseDriver>(std::move(inner), held, delay);
  };
}

std::uint64_t seek(MemoryFile& file, std::uint64_t offset, int whence) {
  return answer_to([&](Reply& reply) { file.seek(reply, offset, whence); })->number();
}

TEST(MemoryFile, Seek_SparseMemoryIsAHole) {
  FakeOptions options = guest();
  options.roms = {GpaRange{Gpa{0x10000}, Gpa{0x20000}}};
  const VmFixture fixture{options, {}, {}, sparse({0x2000, 0x3000, 3 * kMiB})};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  EXPECT_EQ(seek(file, 0, SEEK_HOLE), 0U);
  EXPECT_EQ(seek(file, 10, SEEK_DATA), 0x2000U);
  EXPECT_EQ(seek(file, 0x2010, SEEK_DATA), 0x2010U);
  EXPECT_EQ(seek(file, 0x2010, SEEK_HOLE), 0x4000U);
  EXPECT_EQ(seek(file, 0x4000, SEEK_DATA), 0x10000U) << "firmware is data";
  EXPECT_EQ(seek(file, 0x10000, SEEK_HOLE), 0x20000U);
  EXPECT_EQ(seek(file, 0x20000, SEEK_DATA), 3 * kMiB);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 3 * kMiB + kPageSize, SEEK_DATA); })->error(),
            ErrorKind::past_end);
  EXPECT_EQ(seek(file, 3 * kMiB + kPageSize, SEEK_HOLE), 3 * kMiB + kPageSize);
}

TEST(MemoryFile, Seek_TakesTooLong_TheRestIsData) {
  const VmFixture fixture{guest(), {}, {}, sparse({}, std::chrono::milliseconds{50})};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t data = seek(file, 0, SEEK_DATA);
  EXPECT_GT(data, 0U);
  EXPECT_LT(data, kMiB);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{10}) << "13 s for the first MiB";

  const VmFixture full{guest(), {}, {}, [](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
                         std::vector<std::uint64_t> all;
                         for (std::uint64_t at = 0; at < 4 * kMiB; at += kPageSize) {
                           all.push_back(at);
                         }
                         return std::make_unique<SparseDriver>(std::move(inner), all,
                                                               std::chrono::milliseconds{50});
                       }};
  MemoryFile full_file{guest_of(full.vm), HolePolicy::honest};
  EXPECT_EQ(seek(full_file, 0, SEEK_HOLE), kMiB);
}

TEST(MemoryFile, HeldBytes_AreThoseOfTheDriverWithinTheMap) {
  const VmFixture unknown{guest()};
  EXPECT_EQ(unknown.vm->guest().memory().held_bytes(), 3 * kMiB);
  const VmFixture some{guest(), {}, {}, sparse({0, kPageSize})};
  EXPECT_EQ(some.vm->guest().memory().held_bytes(), 2 * kPageSize);
  const VmFixture none{guest(), {}, {}, sparse({})};
  EXPECT_EQ(none.vm->guest().memory().held_bytes(), kPageSize) << "a file without blocks is not read by tar";
}

TEST(MemoryFile, Write_NeedsWritesOn) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::honest};
  EXPECT_EQ(file.write("12345678", 4096).error().kind, ErrorKind::read_only);
  ASSERT_TRUE(fixture.vm->write_gate().set_writable(true));
  EXPECT_EQ(file.write("12345678", 4096), 8U);
  EXPECT_EQ(read_file(file, 4096, 8)->bytes(), "12345678");
}

TEST(MemoryFile, KernelCache_IsWantedIfItIsInUse) {
  const VmFixture fixture{guest()};
  MemoryFile file{guest_of(fixture.vm), HolePolicy::padded};
  EXPECT_FALSE(file.wants_page_cache());
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_TRUE(file.wants_page_cache());
}

TEST(MemoryFile, RangeEndsWithinAPage_IsNotReadThroughTheKernelCache) {
  FakeOptions options = guest();
  options.holes = {GpaRange{Gpa{kMiB + 8}, Gpa{2 * kMiB}}};
  const VmFixture fixture{options};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  for (const HolePolicy policy : {HolePolicy::honest, HolePolicy::padded}) {
    EXPECT_FALSE((MemoryFile{guest_of(fixture.vm), policy}.wants_page_cache()));
  }
  EXPECT_TRUE((ImageFile{guest_of(fixture.vm), lime_format()}.wants_page_cache()));
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
