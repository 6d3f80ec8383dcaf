// SPDX-License-Identifier: MIT
// Sequential prefetch on another thread: when it happens, and that no stale byte is served.
#include "vm_fixture.h"

#include <gtest/gtest.h>
#include <thread>

namespace vmemfs::test {
namespace {

constexpr std::size_t kSize = SequentialPrefetch::kMinSize;
constexpr std::uint64_t kNext = 2 * kSize; ///< start of the range prefetched by begin_reading()

/// A paused guest, read sequentially.
struct SequentialPrefetchTest : testing::Test {
  void SetUp() override { ASSERT_TRUE(vm.vm->run_state().pause().has_value()); }

  /// Reads until the next range has been prefetched as well.
  void begin_reading() {
    static_cast<void>(vm.read(0, kSize));
    static_cast<void>(vm.read(kSize, kSize));
    ASSERT_TRUE(eventually([&] { return bytes_fetched() == 3 * kSize; }));
  }

  [[nodiscard]] std::uint64_t bytes_fetched() const { return vm.metrics->metrics().bytes; }

  /// First word of a read that continues where begin_reading() ended.
  [[nodiscard]] std::uint64_t next_word() {
    const auto bytes = vm.read(kNext, kSize);
    std::uint64_t value = 0;
    if (bytes.size() == kSize) {
      std::memcpy(&value, bytes.data(), sizeof value);
    }
    return value;
  }

  VmFixture vm;
};

TEST_F(SequentialPrefetchTest, SequentialRead_NextPartIsPrefetched) {
  begin_reading();
  EXPECT_TRUE(eventually([&] { return vm.vm->cache().counts().prefetched == kSize / kPageSize; }));
  EXPECT_EQ(next_word(), fake_word(Gpa{kNext}));
  // More if what was prefetched was too old when it was read.
  EXPECT_TRUE(eventually([&] { return bytes_fetched() >= 4 * kSize; }));
}

TEST_F(SequentialPrefetchTest, LongRead_EveryByteIsRight) {
  for (std::uint64_t at = 0; at < 64 * kSize; at += kSize) {
    const auto bytes = vm.read(at, kSize);
    ASSERT_EQ(bytes.size(), kSize);
    for (std::size_t i = 0; i < kSize; i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, &bytes[i], sizeof word);
      ASSERT_EQ(word, fake_word(Gpa{at + i})) << at + i;
    }
  }
}

TEST_F(SequentialPrefetchTest, RandomReads_NothingIsPrefetched) {
  for (const std::uint64_t at : {8 * kSize, kSize, 4 * kSize}) {
    static_cast<void>(vm.read(at, kSize));
  }
  EXPECT_FALSE(eventually([&] { return bytes_fetched() > 3 * kSize; }, std::chrono::milliseconds{50}));
  EXPECT_EQ(vm.vm->cache().counts().prefetched, 0U);
}

TEST_F(SequentialPrefetchTest, SmallReads_NothingIsPrefetched) {
  constexpr std::size_t kPage = 4096;
  for (std::uint64_t at = 0; at < 16 * kPage; at += kPage) {
    static_cast<void>(vm.read(at, kPage));
  }
  EXPECT_FALSE(eventually([&] { return bytes_fetched() > 16 * kPage; }, std::chrono::milliseconds{50}));
}

TEST_F(SequentialPrefetchTest, CacheOff_NothingIsPrefetched) {
  ASSERT_TRUE(
      vm.vm->cache().change([](CacheSettings& settings) { settings.mode = CacheMode::off; }).has_value());
  static_cast<void>(vm.read(0, kSize));
  static_cast<void>(vm.read(kSize, kSize));
  EXPECT_FALSE(eventually([&] { return bytes_fetched() > 2 * kSize; }, std::chrono::milliseconds{50}));
}

TEST_F(SequentialPrefetchTest, GuestRuns_NothingIsPrefetched) {
  ASSERT_TRUE(vm.vm->run_state().resume().has_value());
  static_cast<void>(vm.read(0, kSize));
  static_cast<void>(vm.read(kSize, kSize));
  EXPECT_FALSE(eventually([&] { return bytes_fetched() > 2 * kSize; }, std::chrono::milliseconds{50}));
}

TEST_F(SequentialPrefetchTest, GuestWrote_WriteIsSeen) {
  begin_reading();
  ASSERT_TRUE(vm.vm->run_state().resume().has_value());
  vm.write_word(kNext, 0x1111);
  ASSERT_TRUE(vm.vm->run_state().pause().has_value());
  EXPECT_EQ(next_word(), 0x1111U);
}

TEST_F(SequentialPrefetchTest, ForeignResume_GuestWriteIsSeen) {
  begin_reading();
  const auto is_paused_by = [&](PausedBy who) {
    return eventually([&] { return vm.vm->run_state().info().by == who; });
  };
  vm.fake->set_running(true);
  vm.write_word(kNext, 0x2222);
  ASSERT_TRUE(is_paused_by(PausedBy::nobody));
  vm.fake->set_running(false);
  ASSERT_TRUE(is_paused_by(PausedBy::other)); // so that memory is known to be stable
  EXPECT_EQ(next_word(), 0x2222U);
}

TEST_F(SequentialPrefetchTest, WriteThroughMount_IsSeen) {
  begin_reading();
  ASSERT_TRUE(vm.vm->write_gate().set_writable(true).has_value());
  const std::uint64_t value = 0x3333;
  ASSERT_TRUE(vm.vm->guest().memory().write(kNext, std::as_bytes(std::span{&value, 1})).has_value());
  EXPECT_EQ(next_word(), value);
}

TEST_F(SequentialPrefetchTest, DebuggerWrite_IsSeenAfterMaxAge) {
  begin_reading();
  const std::uint64_t value = 0x4444;
  ASSERT_FALSE(vm.fake->memory_writer()->write(Gpa{kNext}, std::as_bytes(std::span{&value, 1})).failure);
  std::this_thread::sleep_for(SequentialPrefetch::kMaxAge + std::chrono::milliseconds{5});
  EXPECT_EQ(next_word(), value);
}

TEST_F(SequentialPrefetchTest, VmEnded_ReadIsGone) {
  begin_reading();
  vm.fake->die();
  EXPECT_TRUE(vm.read(kNext, kSize).empty());
  EXPECT_EQ(vm.error, ErrorKind::vm_gone);
}

TEST_F(SequentialPrefetchTest, PrefetchFails_ReaderGetsItsOwnResult) {
  static_cast<void>(vm.read(0, kSize));
  vm.fault->fail_nth(FaultPoint::read, 2, ErrorKind::source_failed);
  static_cast<void>(vm.read(kSize, kSize));
  ASSERT_TRUE(eventually([&] { return vm.metrics->metrics().failed_pieces == 1; }));
  EXPECT_EQ(next_word(), fake_word(Gpa{kNext}))
      << "a failed prefetch is retried when the bytes are requested";
}

TEST_F(SequentialPrefetchTest, ManyReaders_EachGetsItsBytes) {
  const auto read_all = [&](HolePolicy policy) {
    ReadScratch scratch;
    ReadAhead read_ahead;
    for (std::uint64_t at = 0; at < 32 * kSize; at += kSize) {
      ASSERT_EQ(vm.vm->guest().memory().read(at, kSize, policy, scratch, &read_ahead), kSize);
      std::uint64_t word = 0;
      std::memcpy(&word, scratch.data().front().iov_base, sizeof word);
      ASSERT_EQ(word, fake_word(Gpa{at}));
      scratch.release();
    }
    vm.vm->guest().memory().end_view();
  };
  for (int i = 0; i < 4; ++i) {
    vm.vm->guest().memory().begin_view();
  }
  std::vector<std::jthread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back(read_all, i % 2 == 0 ? HolePolicy::honest : HolePolicy::padded);
  }
}

} // namespace
} // namespace vmemfs::test
