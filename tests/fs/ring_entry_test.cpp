// SPDX-License-Identifier: MIT
#include "fs/fuse/ring/ring_entry.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <string_view>
#include <thread>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::size_t kPayload = 8192;
constexpr std::uint64_t kNumber = 0x1234;

/// An entry, and the kernel's side of its buffers.
class RingEntryTest : public testing::Test {
protected:
  [[nodiscard]] RingEntry& entry() { return *entry_; }
  [[nodiscard]] RingHeader& header() { return *static_cast<RingHeader*>(entry_->buffers()[0].iov_base); }
  [[nodiscard]] char* payload() { return static_cast<char*>(entry_->buffers()[1].iov_base); }

  /// What the kernel writes for a request.
  void request(std::string_view operation, std::string_view data) {
    fuse_in_header in{};
    in.len = static_cast<std::uint32_t>(sizeof(in) + operation.size() + data.size());
    in.unique = kNumber;
    in.opcode = FUSE_WRITE;
    std::memcpy(header().in_out.data(), &in, sizeof(in));
    std::ranges::copy(std::as_bytes(std::span{operation}), header().operation.begin());
    header().payload_bytes = static_cast<std::uint32_t>(data.size());
    std::ranges::copy(data, payload());
  }

  void answer(std::int32_t error, std::vector<std::string_view> pieces) {
    fuse_out_header out{sizeof(out), error, kNumber};
    std::vector<iovec> all{{&out, sizeof(out)}};
    for (const std::string_view piece : pieces) {
      all.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
    entry_->put_answer(all);
  }
  [[nodiscard]] fuse_out_header answered() {
    fuse_out_header out{};
    std::memcpy(&out, header().in_out.data(), sizeof(out));
    return out;
  }

private:
  std::unique_ptr<RingEntry> entry_ = std::move(*RingEntry::create(3, kPayload));
};

TEST_F(RingEntryTest, Request_IsAsDevFuseGivesIt) {
  request("operation", "and its data");
  std::vector<std::byte> taken;
  ASSERT_TRUE(entry().take_request(taken));
  EXPECT_EQ(entry().queue(), 3);
  EXPECT_EQ(entry().unique(), kNumber);
  ASSERT_EQ(taken.size(), sizeof(fuse_in_header) + 21);
  EXPECT_EQ(std::memcmp(taken.data(), header().in_out.data(), sizeof(fuse_in_header)), 0);
  EXPECT_EQ(std::memcmp(taken.data() + sizeof(fuse_in_header), "operationand its data", 21), 0);
}

TEST_F(RingEntryTest, RequestWithoutData_HasNoneOfTheOneBefore) {
  request("operation", "and its data");
  std::vector<std::byte> taken;
  ASSERT_TRUE(entry().take_request(taken));
  answer(0, {});
  request("other", "");
  ASSERT_TRUE(entry().take_request(taken));
  ASSERT_EQ(taken.size(), sizeof(fuse_in_header) + 5);
  EXPECT_EQ(std::memcmp(taken.data() + sizeof(fuse_in_header), "other", 5), 0);
}

TEST_F(RingEntryTest, SizesThatDoNotAgree_AreRefused) {
  std::vector<std::byte> taken;
  for (const std::uint32_t bytes : {std::uint32_t{kPayload + 1}, 22U, 0xffffffffU}) {
    request("operation", "and its data");
    header().payload_bytes = bytes;
    EXPECT_FALSE(entry().take_request(taken)) << bytes;
    EXPECT_EQ(entry().unique(), kNumber); // it can still be answered
  }
  request(std::string(128, 'o'), "data");
  EXPECT_TRUE(entry().take_request(taken));
  header().payload_bytes = 3; // so that the operation's header would be longer than its place
  EXPECT_FALSE(entry().take_request(taken));
}

TEST_F(RingEntryTest, Answer_IsHeaderAndPieces) {
  request("operation", "");
  std::vector<std::byte> taken;
  ASSERT_TRUE(entry().take_request(taken));
  answer(0, {"one", "", "and two"});
  EXPECT_EQ(answered().error, 0);
  EXPECT_EQ(answered().unique, kNumber);
  EXPECT_EQ(header().payload_bytes, 10U);
  EXPECT_EQ(std::string_view(payload(), 10), "oneand two");
  EXPECT_EQ(entry().unique(), 0U);
}

TEST_F(RingEntryTest, AnswerBeyondThePayload_BecomesAnError) {
  const std::string most(kPayload, 'x');
  answer(0, {most});
  EXPECT_EQ(answered().error, 0);
  EXPECT_EQ(header().payload_bytes, kPayload);
  answer(0, {most, "y"});
  EXPECT_EQ(answered().error, -EIO);
  EXPECT_EQ(header().payload_bytes, 0U);
}

TEST_F(RingEntryTest, AnswerOfAnother_OwnerThatComesBack_GoesOn) {
  EXPECT_FALSE(entry().note_answered_by_other());
  EXPECT_TRUE(entry().wait_for_other(RingEntry::kFirstOwner));
  EXPECT_EQ(entry().change_owner(), std::nullopt); // it is not needed any more
}

TEST_F(RingEntryTest, OwnerWaits_AnswerOfAnotherWakesIt) {
  std::atomic<bool> went_on{false};
  std::jthread owner{[&] { went_on = entry().wait_for_other(RingEntry::kFirstOwner); }};
  while (!entry().note_answered_by_other() && !went_on) {
  }
  owner.join();
  EXPECT_TRUE(went_on);
}

TEST_F(RingEntryTest, OwnerStillAtWork_EntryGetsANewOne) {
  EXPECT_EQ(entry().change_owner(), std::nullopt); // there is no answer
  EXPECT_FALSE(entry().note_answered_by_other());
  const auto owner = entry().change_owner();
  ASSERT_TRUE(owner.has_value());
  EXPECT_NE(*owner, RingEntry::kFirstOwner);
  EXPECT_FALSE(entry().wait_for_other(RingEntry::kFirstOwner));
  EXPECT_FALSE(entry().note_answered_by_other()); // of a later request
  EXPECT_FALSE(entry().wait_for_other(RingEntry::kFirstOwner));
  EXPECT_TRUE(entry().wait_for_other(*owner));
}

TEST_F(RingEntryTest, OwnerHandsOver_FormerOneNoLongerWaits) {
  const auto owner = entry().hand_over();
  EXPECT_FALSE(entry().note_answered_by_other());
  EXPECT_FALSE(entry().wait_for_other(RingEntry::kFirstOwner));
  EXPECT_TRUE(entry().wait_for_other(owner));
  static_cast<void>(entry().hand_over());
  entry().take_back();
  EXPECT_FALSE(entry().note_answered_by_other());
  EXPECT_TRUE(entry().wait_for_other(owner));
}

} // namespace
} // namespace vmemfs
