// SPDX-License-Identifier: MIT
// Large batches that two threads read.
#include "driver/decorators/forwarding_driver.h"
#include "vm/memory/divided_read.h"
#include "vm/vm_fixture.h"

#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <latch>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::size_t kPages = 1000;

/// Notes who reads; optionally lets nobody go on before two threads have begun.
class Watched : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  void read(std::span<ReadPiece> pieces) override {
    bool first = false;
    {
      const std::scoped_lock lock{mutex_};
      ++calls;
      first = threads.insert(std::this_thread::get_id()).second;
    }
    if (first && wait_for_two) {
      both_.arrive_and_wait();
    }
    ForwardingDriver::read(pieces);
  }
  ReadCost read_cost() const override { return cost; }

  ReadCost cost{};
  bool wait_for_two = false;
  int calls = 0;
  std::set<std::thread::id> threads;

private:
  std::mutex mutex_;
  std::latch both_{2};
};

struct Batch {
  /// `size`: of each piece, which is the end of a page.
  explicit Batch(std::size_t size = kPageSize) : bytes(kPages * size) {
    for (std::size_t i = 0; i < kPages; ++i) {
      const std::uint64_t end = (i * 7919 % 4096 + 1) * kPageSize;
      pieces.push_back({Gpa{end - size}, std::span{bytes}.subspan(i * size, size), 0, std::nullopt});
    }
  }
  [[nodiscard]] bool right() const {
    for (const ReadPiece& piece : pieces) {
      std::uint64_t word = 0;
      const std::size_t last = piece.buffer.size() - sizeof word;
      std::memcpy(&word, piece.buffer.data() + last, sizeof word);
      if (piece.done != piece.buffer.size() || piece.failure || word != fake_word(piece.gpa + last)) {
        return false;
      }
    }
    return true;
  }
  std::vector<std::byte> bytes;
  std::vector<ReadPiece> pieces;
};

class DividedReadTest : public testing::Test {
protected:
  Watched* driver_ = nullptr;
  VmFixture fixture_{{.holes = {}, .roms = {}, .bad = {}},
                     {},
                     {},
                     [this](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
                       auto watched = std::make_unique<Watched>(std::move(inner));
                       driver_ = watched.get();
                       return watched;
                     }};
};

TEST_F(DividedReadTest, ManyPages_AreReadByTwoThreads) {
  if (std::thread::hardware_concurrency() < 2) {
    GTEST_SKIP() << "needs two CPUs";
  }
  driver_->wait_for_two = true;
  Batch batch;
  ASSERT_TRUE(fixture_.vm->guest().memory().read_each(batch.pieces));
  EXPECT_TRUE(batch.right());
  EXPECT_EQ(driver_->threads.size(), 2U);
  EXPECT_GE(driver_->calls, 16);
}

TEST_F(DividedReadTest, ManySmallPieces_AreReadByTwoThreads) {
  if (std::thread::hardware_concurrency() < 2) {
    GTEST_SKIP() << "needs two CPUs";
  }
  driver_->wait_for_two = true;
  Batch batch{8};
  ASSERT_TRUE(fixture_.vm->guest().memory().read_each(batch.pieces));
  EXPECT_TRUE(batch.right());
  EXPECT_EQ(driver_->threads.size(), 2U);
}

TEST_F(DividedReadTest, NoThreadIsFree_TheReaderReadsAll) {
  const auto busy = std::make_shared<std::latch>(1);
  fixture_.prefetch_worker.post([busy] { busy->wait(); });
  Batch batch;
  ASSERT_TRUE(fixture_.vm->guest().memory().read_each(batch.pieces));
  EXPECT_TRUE(batch.right());
  EXPECT_EQ(driver_->threads.size(), 1U);
  busy->count_down(); // the helper that comes now finds nothing, though the batch has gone
}

TEST_F(DividedReadTest, FewBytesOrDearCalls_AreOneCall) {
  Batch few;
  few.pieces.resize(DividedRead::kMinBytes / kPageSize - 1);
  ASSERT_TRUE(fixture_.vm->guest().memory().read_each(few.pieces));
  EXPECT_TRUE(few.right());
  EXPECT_EQ(driver_->calls, 1);
  driver_->cost.call = std::chrono::milliseconds{1};
  Batch far;
  ASSERT_TRUE(fixture_.vm->guest().memory().read_each(far.pieces));
  EXPECT_TRUE(far.right());
  EXPECT_EQ(driver_->calls, 2);
}

TEST_F(DividedReadTest, VmEndsMeanwhile_FailsAsAWhole) {
  fixture_.fake->die();
  Batch batch;
  EXPECT_EQ(fixture_.vm->guest().memory().read_each(batch.pieces).error(), ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs::test
