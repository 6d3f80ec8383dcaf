// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "fs/fuse/kernel_pages.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

constexpr Ino kFile = 7;

class KernelPagesTest : public testing::Test {
protected:
  /// Whether pages had to be dropped; `meanwhile` happens while the kernel drops them.
  bool drops(KernelPages::Epoch epoch, const std::function<void()>& meanwhile = {}) {
    bool dropped = false;
    EXPECT_TRUE(pages_.drop_stale(kFile, epoch, [&] {
      dropped = true;
      if (meanwhile) {
        meanwhile();
      }
      return true;
    }));
    return dropped;
  }

  KernelPages pages_;
};

TEST_F(KernelPagesTest, NoPages_NothingToDrop) {
  EXPECT_TRUE(pages_.are_current(kFile, 1));
  EXPECT_FALSE(drops(1));
  EXPECT_FALSE(drops(std::nullopt));
}

TEST_F(KernelPagesTest, PagesOfTheEpoch_Stay) {
  pages_.note_fill(kFile, 1);
  pages_.note_fill(kFile, 1);
  EXPECT_FALSE(drops(1));
  EXPECT_TRUE(drops(2));
  EXPECT_FALSE(drops(2)) << "they are gone";
}

TEST_F(KernelPagesTest, PagesOfARunningGuest_AreDroppedBeforeEachRead) {
  pages_.note_fill(kFile, std::nullopt);
  EXPECT_TRUE(drops(std::nullopt));
  pages_.note_fill(kFile, std::nullopt);
  EXPECT_TRUE(drops(1)) << "it was paused meanwhile";
}

TEST_F(KernelPagesTest, PagesOfTwoEpochs_AreOfNone) {
  pages_.note_fill(kFile, 1);
  pages_.note_fill(kFile, 2);
  EXPECT_FALSE(pages_.are_current(kFile, 2));
  EXPECT_TRUE(drops(2));
}

TEST_F(KernelPagesTest, PageThatComesDuringADrop_IsDroppedBeforeTheNextRead) {
  pages_.note_fill(kFile, 1);
  EXPECT_TRUE(drops(std::nullopt, [&] { pages_.note_fill(kFile, std::nullopt); }));
  EXPECT_TRUE(drops(std::nullopt));
  EXPECT_FALSE(drops(std::nullopt));
}

TEST_F(KernelPagesTest, CannotBeDropped_AreStillStale) {
  pages_.note_fill(kFile, 1);
  EXPECT_FALSE(pages_.drop_stale(kFile, 2, [] { return false; }));
  EXPECT_FALSE(pages_.are_current(kFile, 2));
}

TEST_F(KernelPagesTest, ReadersOfOneLayout_AdmitNoOther) {
  EXPECT_TRUE(pages_.is_only_layout(kFile, 1));
  pages_.add_reader(kFile, 1);
  pages_.add_reader(kFile, 1);
  EXPECT_TRUE(pages_.is_only_layout(kFile, 1));
  EXPECT_FALSE(pages_.is_only_layout(kFile, 2));
  pages_.remove_reader(kFile, 1);
  EXPECT_FALSE(pages_.is_only_layout(kFile, 2));
  pages_.remove_reader(kFile, 1);
  EXPECT_TRUE(pages_.is_only_layout(kFile, 2));
  EXPECT_FALSE(pages_.has_readers(kFile));
}

TEST_F(KernelPagesTest, AllDropped_NothingIsStale) {
  pages_.note_fill(kFile, 1);
  pages_.drop_all(kFile, [] {});
  EXPECT_FALSE(drops(2));
  pages_.drop_all(kFile, [&] { pages_.note_fill(kFile, std::nullopt); });
  EXPECT_TRUE(drops(2));
}

TEST_F(KernelPagesTest, ForgottenWhileItIsOpenedAgain_KeepsItsRecord) {
  pages_.add_holder(kFile);
  pages_.note_fill(kFile, 1);
  pages_.forget(kFile);
  EXPECT_FALSE(pages_.are_current(kFile, 2));
}

TEST_F(KernelPagesTest, TimeOfModification_StaysWhileAFileMayHavePages) {
  EXPECT_EQ(pages_.report_mtime(kFile, {1, 0}).tv_sec, 1);
  EXPECT_EQ(pages_.report_mtime(kFile, {2, 0}).tv_sec, 2);
  pages_.add_holder(kFile);
  EXPECT_EQ(pages_.report_mtime(kFile, {3, 0}).tv_sec, 2);
  pages_.add_reader(kFile, 0);
  pages_.remove_holder(kFile);
  EXPECT_EQ(pages_.report_mtime(kFile, {4, 0}).tv_sec, 2);
  pages_.remove_reader(kFile, 0);
  EXPECT_EQ(pages_.report_mtime(kFile, {5, 0}).tv_sec, 5);
}

class KernelPagesSize : public KernelPagesTest {
protected:
  /// The size that is reported.
  std::uint64_t reported(std::uint64_t size, KernelPages::SizeChange expected) {
    EXPECT_EQ(pages_.report_size(kFile, size), expected) << size;
    return size;
  }

  using Change = KernelPages::SizeChange;
};

TEST_F(KernelPagesSize, FileIsOpen_GrowsAndDoesNotShrink) {
  EXPECT_EQ(reported(8 * kPageSize, Change::none), 8 * kPageSize);
  pages_.add_holder(kFile);
  EXPECT_EQ(reported(8 * kPageSize, Change::none), 8 * kPageSize);
  EXPECT_EQ(reported(16 * kPageSize, Change::new_end), 16 * kPageSize);
  EXPECT_EQ(reported(4 * kPageSize, Change::held), 16 * kPageSize);
  EXPECT_EQ(reported(16 * kPageSize, Change::none), 16 * kPageSize);
  pages_.remove_holder(kFile);
  EXPECT_EQ(reported(4 * kPageSize, Change::reported), 4 * kPageSize);
  pages_.add_holder(kFile);
  EXPECT_EQ(reported(8 * kPageSize, Change::new_end), 8 * kPageSize);
}

TEST_F(KernelPagesSize, NewEndWithinThePageOfTheFormer_IsNoNewEnd) {
  EXPECT_EQ(reported(kPageSize + 10, Change::none), kPageSize + 10);
  EXPECT_EQ(reported(kPageSize + 20, Change::reported), kPageSize + 20);
  pages_.add_holder(kFile);
  EXPECT_EQ(reported(2 * kPageSize, Change::held), kPageSize + 20);
  EXPECT_EQ(reported(2 * kPageSize + 1, Change::held), kPageSize + 20) << "the page would count as complete";
  EXPECT_EQ(reported(2 * kPageSize + 2, Change::new_end), 2 * kPageSize + 2);
}

TEST_F(KernelPagesTest, Forgotten_HasNothing) {
  pages_.note_fill(kFile, 1);
  pages_.forget(kFile);
  EXPECT_TRUE(pages_.are_current(kFile, 2));
}

} // namespace
} // namespace vmemfs
