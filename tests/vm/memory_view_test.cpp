// SPDX-License-Identifier: MIT
#include "driver/decorators/fault_driver.h"
#include "driver/decorators/metrics_driver.h"
#include "drivers/fake/fake_driver.h"
#include "vm/memory/memory_view.h"

#include <cstring>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

std::byte fake_byte(std::uint64_t address) {
  const std::uint64_t word = (address / 8) * 0x9e3779b97f4a7c15U ^ 0x766d656d66735f31U;
  return static_cast<std::byte>(word >> (8 * (address % 8)));
}

class MemoryViewTest : public testing::Test {
protected:
  // RAM 0-0x10000, hole to 0x18000, RAM to 1 MiB with one bad page; 1-1.5 MiB hole; RAM to 2 MiB.
  static FakeOptions options() {
    FakeOptions options;
    options.size = 2 * kMiB;
    options.holes = {{Gpa{0x10000}, Gpa{0x18000}}, {Gpa{kMiB}, Gpa{kMiB + kMiB / 2}}};
    options.bad = {{Gpa{0x20000}, Gpa{0x21000}}, {Gpa{0x23000}, Gpa{0x25000}}};
    return options;
  }

  MemoryViewTest() : fault_{make_driver()}, view_{fault_, bad_pages_} {}

  std::unique_ptr<Driver> make_driver() {
    auto fake = std::move(*FakeDriver::create(options()));
    fake_ = fake.get();
    return fake;
  }

  std::vector<std::byte> gather(ReadScratch& scratch) {
    std::vector<std::byte> bytes;
    for (const iovec& part : scratch.data()) {
      const auto* begin = static_cast<const std::byte*>(part.iov_base);
      bytes.insert(bytes.end(), begin, begin + part.iov_len);
    }
    return bytes;
  }

  /// Reads and checks each byte against the pattern, zero where `zero` says so.
  void expect_read(
      std::uint64_t offset, std::size_t size, HolePolicy policy, std::size_t expected_size,
      const std::function<bool(std::uint64_t)>& zero = [](std::uint64_t) { return false; }) {
    const auto read = view_.read(offset, size, policy, scratch_);
    ASSERT_TRUE(read.has_value()) << to_string(read.error());
    EXPECT_EQ(*read, expected_size);
    const auto bytes = gather(scratch_);
    ASSERT_EQ(bytes.size(), expected_size);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      ASSERT_EQ(bytes[i], zero(offset + i) ? std::byte{0} : fake_byte(offset + i)) << std::hex << offset + i;
    }
  }

  void expect_failure(std::uint64_t offset, std::size_t size, HolePolicy policy, ErrorKind kind) {
    const auto read = view_.read(offset, size, policy, scratch_);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error(), kind);
  }

  FakeDriver* fake_ = nullptr;
  FaultDriver fault_;
  BadPages bad_pages_;
  MemoryView view_;
  ReadScratch scratch_;
};

TEST_F(MemoryViewTest, Read_InsideRam_IsRight) { expect_read(0x123, 0x4567, HolePolicy::honest, 0x4567); }

TEST_F(MemoryViewTest, HonestRead_IntoAHole_IsShort) {
  expect_read(0xff00, 0x1000, HolePolicy::honest, 0x100);
}

TEST_F(MemoryViewTest, HonestRead_InAHole_Fails) {
  expect_failure(0x10000, 1, HolePolicy::honest, ErrorKind::hole);
  expect_failure(0x17fff, 0x1000, HolePolicy::honest, ErrorKind::hole);
}

TEST_F(MemoryViewTest, PaddedRead_OverAHole_HasZerosAndDataAfterIt) {
  expect_read(0xff00, 0x9000, HolePolicy::padded, 0x9000,
              [](std::uint64_t at) { return at >= 0x10000 && at < 0x18000; });
}

TEST_F(MemoryViewTest, HonestRead_IntoABadPage_IsShortAndFailsInIt) {
  expect_read(0x1f000, 0x4000, HolePolicy::honest, 0x1000);
  expect_failure(0x20800, 8, HolePolicy::honest, ErrorKind::bad_page);
  EXPECT_EQ(bad_pages_.times_padded(), 0U);
}

TEST_F(MemoryViewTest, PaddedRead_OverBadPages_CountsThemAndContinues) {
  const auto bad = [](std::uint64_t at) {
    return (at >= 0x20000 && at < 0x21000) || (at >= 0x23000 && at < 0x25000);
  };
  expect_read(0x1f800, 0x8000, HolePolicy::padded, 0x8000, bad);
  EXPECT_EQ(bad_pages_.times_padded(), 3U);
  EXPECT_EQ(bad_pages_.listed(), (std::vector<Gfn>{Gfn{0x20}, Gfn{0x23}, Gfn{0x24}}));
  expect_read(0x20ff0, 0x20, HolePolicy::padded, 0x20, bad);
  EXPECT_EQ(bad_pages_.listed().size(), 3U);
}

TEST_F(MemoryViewTest, Read_AtTheEnd_IsShortOrEmpty) {
  expect_read(2 * kMiB - 16, 4096, HolePolicy::honest, 16);
  expect_read(2 * kMiB, 4096, HolePolicy::honest, 0);
  expect_read(2 * kMiB, 4096, HolePolicy::padded, 0);
  expect_read(~std::uint64_t{0}, 4096, HolePolicy::padded, 0);
}

TEST_F(MemoryViewTest, PaddedRead_SourceFails_IsNotZeros) {
  for (const HolePolicy policy : {HolePolicy::honest, HolePolicy::padded}) {
    fault_.fail_nth(FaultPoint::read, 1);
    expect_failure(0, 4096, policy, ErrorKind::source_failed);
  }
}

TEST_F(MemoryViewTest, PaddedRead_FailsAfterAHole_KeepsTheBytesBefore) {
  fault_.fail_nth(FaultPoint::read, 1);
  expect_read(0x10800, 0x8000, HolePolicy::padded, 0x7800, [](std::uint64_t) { return true; });
}

TEST_F(MemoryViewTest, VmEnded_ReadFails) {
  fake_->die();
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{0x10000}, 2 * kMiB}) {
    expect_failure(offset, 4096, HolePolicy::honest, ErrorKind::vm_gone);
  }
  expect_failure(0, 4096, HolePolicy::padded, ErrorKind::vm_gone);
}

TEST_F(MemoryViewTest, VmEndsDuringRead_WholeReadFails) {
  fault_.fail_nth(FaultPoint::read, 1, ErrorKind::vm_gone);
  expect_failure(0x10800, 0x8000, HolePolicy::padded, ErrorKind::vm_gone); // zeros precede the piece
}

TEST_F(MemoryViewTest, ReadAboveMax_IsTruncated) {
  const auto read = view_.read(0, 16 * kMiB, HolePolicy::padded, scratch_);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*read, MemoryView::kMaxRead);
}

// ---- several ranges

GpaRange range_of(std::uint64_t begin, std::uint64_t size) { return {Gpa{begin}, Gpa{begin + size}}; }

TEST_F(MemoryViewTest, ReadOfRanges_IsOneCallAndInTheirOrder) {
  MetricsDriver counted{make_driver()};
  MemoryView view{counted, bad_pages_};
  const std::vector<GpaRange> ranges{range_of(0x30010, 16), range_of(0x100, 8), range_of(0x30010, 4096)};
  ASSERT_EQ(view.read(ranges, HolePolicy::honest, scratch_), 16U + 8U + 4096U);
  EXPECT_EQ(counted.metrics().reads, 1U);
  const auto bytes = gather(scratch_);
  std::size_t i = 0;
  for (const GpaRange& range : ranges) {
    for (std::uint64_t at = range.begin.value(); at < range.end.value(); ++at, ++i) {
      ASSERT_EQ(bytes[i], fake_byte(at)) << std::hex << at;
    }
  }
}

TEST_F(MemoryViewTest, HonestReadOfRanges_EndsAtTheFirstFailure) {
  const auto good = range_of(0x1000, 0x800);
  const struct {
    GpaRange second;
    std::size_t expected;
  } cases[] = {
      {range_of(0xfff0, 0x20), 0x810},       // into a hole
      {range_of(0x1ff00, 0x200), 0x900},     // into a bad page
      {range_of(0x20000, 8), 0x800},         // in a bad page
      {range_of(2 * kMiB - 8, 0x10), 0x808}, // over the end
      {range_of(2 * kMiB, 8), 0x800},        // behind the end
  };
  for (const auto& [second, expected] : cases) {
    const std::vector<GpaRange> ranges{good, second, good};
    EXPECT_EQ(view_.read(ranges, HolePolicy::honest, scratch_), expected) << second.begin.value();
    EXPECT_EQ(gather(scratch_).size(), expected);
  }
}

TEST_F(MemoryViewTest, ReadOfRangesAboveMax_IsTruncated) {
  const std::vector<GpaRange> ranges{range_of(0x30000, 0x80000), range_of(0x30000, 0x80000 - 1),
                                     range_of(0, 2)};
  EXPECT_EQ(view_.read(ranges, HolePolicy::padded, scratch_), MemoryView::kMaxRead);
}

/// A driver that notices a new layout only when a miss is reported, as the qemu driver does.
class SlowToNotice : public ForwardingDriver {
public:
  SlowToNotice(std::unique_ptr<Driver> inner, FakeDriver* fake)
      : ForwardingDriver{std::move(inner)}, fake_{fake} {}
  void poll_layout(bool missed) override {
    if (missed) {
      fake_->change_layout({});
    }
  }

private:
  FakeDriver* fake_;
};

TEST(MemoryViewLayout, ReadOutsideTheMap_PollsTheLayoutBeforeItFails) {
  FakeOptions options;
  options.size = kMiB;
  options.holes = {{Gpa{0x8000}, Gpa{0x9000}}};
  auto fake = std::move(*FakeDriver::create(options));
  FakeDriver* const raw = fake.get();
  SlowToNotice driver{std::move(fake), raw};
  BadPages bad_pages;
  MemoryView view{driver, bad_pages};
  ReadScratch scratch;
  const auto read = view.read(0x8000, 16, HolePolicy::honest, scratch);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*read, 16U);
}

} // namespace
} // namespace vmemfs
