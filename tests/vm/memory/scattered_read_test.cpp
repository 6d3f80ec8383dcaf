// SPDX-License-Identifier: MIT
// Scattered reads of an attached VM: results of each piece, the page cache, a map that changes meanwhile.
#include "driver/decorators/forwarding_driver.h"
#include "vm/vm_fixture.h"

#include <gtest/gtest.h>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::chrono::microseconds kSlow{500}; ///< worth caching

FakeOptions guest() {
  FakeOptions options;
  options.size = 4 * kMiB;
  options.holes = {GpaRange{Gpa{kMiB}, Gpa{2 * kMiB}}};
  options.roms = {GpaRange{Gpa{0x10800}, Gpa{0x20000}}};
  return options;
}

/// Pieces with buffers of their own.
class Pieces {
public:
  void add(std::uint64_t gpa, std::size_t size) {
    buffers_.push_back(std::vector<std::byte>(size, std::byte{0xee}));
    pieces_.push_back({Gpa{gpa}, buffers_.back(), 0, std::nullopt});
  }
  tl::expected<void, ErrorKind> read(const VmFixture& fixture) {
    return fixture.vm->guest().memory().read_each(pieces_);
  }
  [[nodiscard]] const ReadPiece& operator[](std::size_t index) const { return pieces_[index]; }
  /// What was read is the pattern of the fake guest.
  [[nodiscard]] bool right() const {
    for (const ReadPiece& piece : pieces_) {
      for (std::size_t i = 0; i < piece.done; ++i) {
        const std::uint64_t at = piece.gpa.value() + i;
        const auto byte = static_cast<std::byte>(fake_word(Gpa{at & ~std::uint64_t{7}}) >> (8 * (at % 8)));
        if (piece.buffer[i] != byte) {
          return false;
        }
      }
    }
    return true;
  }

private:
  std::vector<std::vector<std::byte>> buffers_;
  std::vector<ReadPiece> pieces_;
};

void expect_results(const Pieces& pieces) {
  EXPECT_TRUE(pieces.right());
  EXPECT_EQ(pieces[0].done, 5000U);
  EXPECT_FALSE(pieces[0].failure);
  EXPECT_EQ(pieces[1].done, 100U);
  EXPECT_EQ(pieces[1].failure, ErrorKind::hole);
  EXPECT_EQ(pieces[2].done, 0U);
  EXPECT_EQ(pieces[2].failure, ErrorKind::hole);
  EXPECT_EQ(pieces[3].done, 4096U);
  EXPECT_EQ(pieces[3].failure, ErrorKind::past_end);
  EXPECT_EQ(pieces[4].done, 0x11000U) << "from RAM through ROM to RAM";
  EXPECT_FALSE(pieces[4].failure);
  EXPECT_FALSE(pieces[5].failure) << "empty, in a hole";
}

Pieces all_cases() {
  Pieces pieces;
  pieces.add(0x1003, 5000);
  pieces.add(kMiB - 100, 200);
  pieces.add(kMiB + 5, 8);
  pieces.add(4 * kMiB - 4096, 8192);
  pieces.add(0x10000, 0x11000);
  pieces.add(kMiB, 0);
  return pieces;
}

TEST(ScatteredRead, EachPieceHasTheResultOfAReadOfItsOwn) {
  const VmFixture fixture{guest()};
  Pieces pieces = all_cases();
  ASSERT_TRUE(pieces.read(fixture));
  expect_results(pieces);
  EXPECT_EQ(fixture.metrics->metrics().reads, 1U);
}

TEST(ScatteredRead, PausedSlowGuest_PagesComeFromTheCacheTheSecondTime) {
  const VmFixture fixture{guest(), {}, kSlow};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  ASSERT_TRUE(fixture.vm->cache().in_use());
  const auto reads = [&] { return fixture.metrics->metrics().reads; };
  Pieces first = all_cases();
  ASSERT_TRUE(first.read(fixture));
  expect_results(first);
  const auto before = reads();
  Pieces pages;
  pages.add(0x11000, 0xf000);
  pages.add(0x12345, 678);
  ASSERT_TRUE(pages.read(fixture));
  EXPECT_TRUE(pages.right());
  EXPECT_EQ(reads(), before) << "whole pages of the piece that was read";
  Pieces again = all_cases();
  ASSERT_TRUE(again.read(fixture));
  expect_results(again);
  EXPECT_EQ(reads(), before + 1) << "pages that were read in part";
  ASSERT_TRUE(fixture.vm->run_state().resume());
  Pieces live;
  live.add(0x11000, 4096);
  ASSERT_TRUE(live.read(fixture));
  EXPECT_EQ(reads(), before + 2) << "a running guest is read live";
}

/// Notes the epoch's end in the middle of a read.
class Interrupted : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  void read(std::span<ReadPiece> pieces) override {
    ForwardingDriver::read(pieces);
    if (during) {
      during();
    }
  }
  std::function<void()> during;
};

TEST(ScatteredRead, EpochEndsDuringTheRead_PagesAreNotKept) {
  Interrupted* driver = nullptr;
  const VmFixture fixture{guest(), {}, kSlow, [&](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
                            auto wrapped = std::make_unique<Interrupted>(std::move(inner));
                            driver = wrapped.get();
                            return wrapped;
                          }};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  driver->during = [&] { fixture.vm->cache().flush(); };
  Pieces pieces;
  pieces.add(0x3000, 4096);
  ASSERT_TRUE(pieces.read(fixture));
  driver->during = nullptr;
  const auto before = fixture.metrics->metrics().reads;
  ASSERT_TRUE(pieces.read(fixture));
  EXPECT_TRUE(pieces.right());
  EXPECT_EQ(fixture.metrics->metrics().reads, before + 1);
}

/// A map that has grown is found when something was missing.
class Growing : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  std::shared_ptr<const MemoryMap> memory_map() const override {
    return polled ? ForwardingDriver::memory_map() : small;
  }
  void poll_layout(bool missed) override { polled = polled || missed; }
  bool polled = false;
  std::shared_ptr<const MemoryMap> small = std::make_shared<const MemoryMap>(
      *MemoryMap::build({{{Gpa{0}, Gpa{0x10000}}, RegionKind::ram, true, 0, 0}}, {"ram"}));
};

TEST(ScatteredRead, MapHasGrown_IsReadByTheNewOne) {
  const VmFixture fixture{guest(), {}, {}, [](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
                            return std::make_unique<Growing>(std::move(inner));
                          }};
  Pieces pieces;
  pieces.add(0x8000, 8);
  pieces.add(2 * kMiB, 8);
  ASSERT_TRUE(pieces.read(fixture));
  EXPECT_EQ(pieces[1].done, 8U);
  EXPECT_TRUE(pieces.right());
}

TEST(ScatteredRead, GoneOrDetached_FailsAsAWhole) {
  for (const bool detach : {false, true}) {
    const VmFixture fixture{guest()};
    Pieces hole;
    hole.add(kMiB, 8);
    Pieces some;
    some.add(0, 8);
    if (detach) {
      fixture.vm->detach();
    } else {
      fixture.fake->die();
    }
    EXPECT_EQ(hole.read(fixture).error(), ErrorKind::vm_gone);
    EXPECT_EQ(some.read(fixture).error(), ErrorKind::vm_gone);
  }
}

} // namespace
} // namespace vmemfs::test
