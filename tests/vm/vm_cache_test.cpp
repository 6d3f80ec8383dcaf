// SPDX-License-Identifier: MIT
// The page cache from the point of view of a reader: when pages are kept, and what that saves.
#include "driver/decorators/forwarding_driver.h"
#include "vm_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

namespace vmemfs::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr microseconds kSlow{500}; ///< worth caching, but not a long call
constexpr milliseconds kVerySlow{20};

bool is_pattern(std::span<const std::byte> bytes, std::uint64_t offset) {
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof(word));
    if (word != fake_word(Gpa{offset + i})) {
      return false;
    }
  }
  return true;
}

FakeOptions of_size(std::uint64_t size) {
  FakeOptions options;
  options.size = size;
  return options;
}

std::uint64_t read_all(VmFixture& fixture, std::uint64_t size, std::size_t piece) {
  const auto before = fixture.metrics->metrics().reads;
  for (std::uint64_t at = 0; at < size; at += piece) {
    const auto bytes = fixture.read(at, piece);
    EXPECT_EQ(bytes.size(), piece);
    EXPECT_TRUE(is_pattern(bytes, at)) << at;
  }
  return fixture.metrics->metrics().reads - before;
}

TEST(VmCache, SlowDriver_ReadOncePerMebibyte_ThenCached) {
  constexpr std::uint64_t kSize = 16 * kMiB;
  for (const std::size_t piece : {std::size_t{4096}, std::size_t{128} << 10U, std::size_t{kMiB}}) {
    VmFixture slow{of_size(kSize), {}, kSlow};
    ASSERT_TRUE(slow.vm->run_state().pause().has_value());
    ASSERT_TRUE(slow.vm->cache().in_use());
    EXPECT_LE(read_all(slow, kSize, piece), 16U) << piece;
    EXPECT_EQ(read_all(slow, kSize, piece), 0U) << piece;
  }
}

/// As of a program that goes from structure to structure.
TEST(VmCache, LongCalls_IsolatedReadsInABlock_AreOneCall) {
  VmFixture far{of_size(16 * kMiB), {}, kVerySlow};
  ASSERT_TRUE(far.vm->run_state().pause().has_value());
  const auto calls = [&](std::initializer_list<std::uint64_t> places) {
    const auto before = far.metrics->metrics().reads;
    for (const std::uint64_t at : places) {
      EXPECT_TRUE(is_pattern(far.read(at, 64), at)) << at;
    }
    return far.metrics->metrics().reads - before;
  };
  EXPECT_EQ(calls({0x208000, 0x20ffc0, 0x20c000, 0x217000}), 1U);
  EXPECT_EQ(calls({0x219000, 0x207000}), 2U) << "behind and before it";
  EXPECT_EQ(calls({0xfff000}), 1U) << "the last page";
  far.vm->cache().flush();
  EXPECT_EQ(calls({0x208000}), 1U);
}

/// Counts concurrent reads.
class Overlap : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  void read(std::span<ReadPiece> pieces) override {
    const int now = ++now_;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    ForwardingDriver::read(pieces);
    --now_;
  }
  std::atomic<int> most{0};

private:
  std::atomic<int> now_{0};
};

/// If a call takes long, others are in progress while the reader waits for its own.
TEST(VmCache, LongCalls_Overlap) {
  constexpr std::uint64_t kSize = 8 * kMiB;
  for (const auto& [delay, overlap] : {std::pair{kVerySlow, true}, {milliseconds{0}, false}}) {
    for (const std::size_t piece : {std::size_t{4096}, std::size_t{128} << 10U, std::size_t{kMiB}}) {
      Overlap* counter = nullptr;
      VmFixture slow{of_size(kSize), {}, delay, [&](std::unique_ptr<Driver> inner) {
                       auto made = std::make_unique<Overlap>(std::move(inner));
                       counter = made.get();
                       return made;
                     }};
      ASSERT_TRUE(slow.vm->run_state().pause().has_value());
      ASSERT_TRUE(slow.vm->cache().change([](CacheSettings& settings) { settings.mode = CacheMode::on; }));
      read_all(slow, kSize, piece);
      EXPECT_EQ(counter->most > 1, overlap) << piece;
      EXPECT_EQ(slow.metrics->metrics().bytes, kSize) << "nothing is fetched twice";
      EXPECT_EQ(read_all(slow, kSize, piece), 0U) << piece;
      EXPECT_EQ(slow.vm->cache().counts().prefetched > 0, overlap);
    }
  }
}

/// A prefetch requested before a change is useless after it.
TEST(VmCache, NewEpoch_PrefetchEnds) {
  VmFixture slow{of_size(16 * kMiB), {}, kVerySlow};
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  for (std::uint64_t at = 0; at < 4 * kMiB; at += kMiB / 4) {
    EXPECT_TRUE(is_pattern(slow.read(at, kMiB / 4), at));
  }
  ASSERT_TRUE(slow.vm->run_state().resume().has_value());
  for (std::uint64_t at = 4 * kMiB; at < 8 * kMiB; at += kPageSize) {
    slow.write_word(at, 4711);
  }
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  for (std::uint64_t at = 4 * kMiB; at < 8 * kMiB; at += 8 * kPageSize) {
    ASSERT_EQ(slow.word(at), 4711U) << at;
  }
}

/// A failed prefetch affects only readers that request its pages.
TEST(VmCache, PrefetchFails_ReadRetries) {
  VmFixture slow{of_size(8 * kMiB), {}, kVerySlow};
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  for (std::uint64_t at = 0; at < 8 * kMiB; at += kMiB / 2) {
    if (at == 2 * kMiB) {
      slow.fault->fail_nth(FaultPoint::read, 2); // the first one may be the reader's own
    }
    auto bytes = slow.read(at, kMiB / 2);
    if (bytes.empty()) {
      bytes = slow.read(at, kMiB / 2);
    }
    ASSERT_EQ(bytes.size(), kMiB / 2);
    EXPECT_TRUE(is_pattern(bytes, at));
  }
}

TEST(VmCache, RunningVm_IsReadLive) {
  VmFixture slow{of_size(kMiB), {}, kSlow};
  ASSERT_TRUE(slow.vm->cache().in_use());
  for (std::uint64_t i = 1; i < 20; ++i) {
    slow.write_word(0x5000, i);
    EXPECT_EQ(slow.word(0x5000), i);
  }
  EXPECT_EQ(slow.vm->cache().stats().used_bytes, 0U);
}

TEST(VmCache, FastDriver_CachedOnlyOnRequest) {
  VmFixture fast{of_size(kMiB)};
  ASSERT_TRUE(fast.vm->run_state().pause().has_value());
  EXPECT_FALSE(fast.vm->cache().in_use());
  EXPECT_EQ(read_all(fast, kMiB, 4096), 256U);
  EXPECT_EQ(read_all(fast, kMiB, 4096), 256U);
  ASSERT_TRUE(fast.vm->cache()
                  .change([&](CacheSettings& settings) { settings = {.mode = CacheMode::on}; })
                  .has_value());
  EXPECT_EQ(read_all(fast, kMiB, 4096), 256U); // no prefetch: a batch is not cheaper here
  EXPECT_EQ(read_all(fast, kMiB, 4096), 0U);
  ASSERT_TRUE(fast.vm->cache()
                  .change([&](CacheSettings& settings) { settings = {.mode = CacheMode::off}; })
                  .has_value());
  EXPECT_EQ(read_all(fast, kMiB, 4096), 256U);
  EXPECT_EQ(fast.vm->cache().stats().limit_bytes, 0U);
}

TEST(VmCache, RunningVmWithTtl_PagesAreReusedWithinTtl) {
  VmFixture slow{of_size(kMiB), {.cache_ttl = milliseconds{200}}, kSlow};
  slow.write_word(0x5000, 1);
  EXPECT_EQ(slow.word(0x5000), 1U);
  const auto fetched = std::chrono::steady_clock::now();
  slow.write_word(0x5000, 2);
  const auto seen = slow.word(0x5000);
  if (std::chrono::steady_clock::now() - fetched < milliseconds{150}) {
    EXPECT_EQ(seen, 1U);
  }
  std::this_thread::sleep_for(milliseconds{220});
  EXPECT_EQ(slow.word(0x5000), 2U);
}

TEST(VmCache, Resume_ByAnybody_InvalidatesPages) {
  VmFixture slow{of_size(kMiB), {}, kSlow};
  for (const bool foreign : {false, true}) {
    ASSERT_TRUE(slow.vm->run_state().pause().has_value());
    const auto before = slow.word(0x5000);
    EXPECT_EQ(slow.word(0x5000), before);
    if (foreign) {
      slow.fake->set_running(true);
    } else {
      ASSERT_TRUE(slow.vm->run_state().resume().has_value());
    }
    slow.write_word(0x5000, before + 1);
    EXPECT_EQ(slow.word(0x5000), before + 1);
  }
}

TEST(VmCache, ResetMapChangeOrFlush_InvalidatesPages) {
  VmFixture slow{of_size(kMiB), {}, kSlow};
  slow.write_word(0x5000, 1);
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  EXPECT_EQ(slow.word(0x5000), 1U);
  slow.fake->reset();
  EXPECT_EQ(slow.word(0x5000), fake_word(Gpa{0x5000}));
  EXPECT_TRUE(eventually([&] {
    const auto reads = slow.metrics->metrics().reads;
    static_cast<void>(slow.word(0x5000));
    static_cast<void>(slow.word(0x5000));
    return slow.metrics->metrics().reads <= reads + 1; // paused again, as a query has found
  }));
  slow.fake->change_layout({{Gpa{0x4000}, Gpa{0x6000}}});
  EXPECT_TRUE(slow.read(0x5000, 8).empty());
  EXPECT_EQ(slow.error, ErrorKind::hole);
  slow.fake->change_layout({});
  EXPECT_EQ(slow.word(0x5000), fake_word(Gpa{0x5000}));
  EXPECT_GT(slow.vm->cache().stats().used_bytes, 0U);
  slow.vm->cache().flush();
  EXPECT_EQ(slow.vm->cache().stats().used_bytes, 0U);
}

TEST(VmCache, FailedPages_AreNotCached) {
  FakeOptions options = of_size(kMiB);
  VmFixture slow{options, {}, kSlow};
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  slow.fake->set_bad({{Gpa{0x3000}, Gpa{0x4000}}});
  EXPECT_EQ(slow.read(0x2000, 0x3000).size(), 0x1000U);
  EXPECT_TRUE(slow.read(0x3000, 8).empty());
  EXPECT_EQ(slow.error, ErrorKind::bad_page);
  const auto padded = slow.read(0x2000, 0x3000, HolePolicy::padded);
  ASSERT_EQ(padded.size(), 0x3000U);
  EXPECT_TRUE(is_pattern(std::span{padded}.first(0x1000), 0x2000));
  EXPECT_TRUE(std::all_of(padded.begin() + 0x1000, padded.begin() + 0x2000,
                          [](std::byte byte) { return byte == std::byte{0}; }));
  EXPECT_TRUE(is_pattern(std::span{padded}.subspan(0x2000), 0x4000));
  slow.fake->set_bad({}); // no new epoch: the bytes are right only if the failed page was not kept
  EXPECT_TRUE(is_pattern(slow.read(0x2000, 0x3000), 0x2000));
  slow.fault->fail_nth(FaultPoint::read, 1);
  EXPECT_TRUE(slow.read(0x80000, 0x1000).empty());
  EXPECT_EQ(slow.error, ErrorKind::source_failed);
  EXPECT_TRUE(is_pattern(slow.read(0x80000, 0x1000), 0x80000));
}

TEST(VmCache, VmEnded_CacheServesNothing) {
  VmFixture slow{of_size(kMiB), {}, kSlow};
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  static_cast<void>(slow.word(0x5000));
  slow.fake->die();
  EXPECT_TRUE(slow.read(0x5000, 8).empty());
  EXPECT_EQ(slow.error, ErrorKind::vm_gone);
}

TEST(VmCache, SeveralReaders_SamePageIsReadOnce) {
  VmFixture slow{of_size(4 * kMiB), {}, std::chrono::milliseconds{100}};
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  constexpr int kReaders = 4;
  std::latch start{kReaders};
  std::vector<std::jthread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      ReadScratch scratch;
      start.arrive_and_wait();
      const auto read = slow.vm->guest().memory().read(0, kMiB, HolePolicy::honest, scratch, nullptr);
      EXPECT_EQ(read, std::size_t{kMiB});
      std::uint64_t at = 0;
      for (const iovec& part : scratch.data()) {
        EXPECT_TRUE(is_pattern({static_cast<const std::byte*>(part.iov_base), part.iov_len}, at));
        at += part.iov_len;
      }
    });
  }
  readers.clear();
  EXPECT_EQ(slow.metrics->metrics().bytes, kMiB); // although each may have begun with another page
  EXPECT_GT(slow.vm->cache().counts().merged, 0U);
}

TEST(VmCache, SmallReads_InsideAndAcrossPages_AreRight) {
  VmFixture slow{of_size(kMiB), {}, microseconds{50}};
  ASSERT_TRUE(slow.vm->run_state().pause().has_value());
  const auto whole = slow.read(0, kMiB);
  slow.vm->cache().flush();
  for (const std::size_t size : {1U, 7U, 4095U, 4097U, 10'000U}) {
    for (std::uint64_t at = 3; at + size < 64U << 10U; at += 1777) {
      const auto bytes = slow.read(at, size);
      ASSERT_EQ(bytes.size(), size);
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), whole.begin() + static_cast<std::ptrdiff_t>(at)));
    }
  }
  EXPECT_EQ(slow.read(kMiB - 100, 4096).size(), 100U);
}

} // namespace
} // namespace vmemfs::test
