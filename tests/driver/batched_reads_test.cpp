// SPDX-License-Identifier: MIT
#include "driver/kit/batched_reads.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::size_t kMax = 16 * kPageSize;

/// Two adjacent regions, a hole, and pages that cannot be read.
class Source {
public:
  Source()
      : map{*MemoryMap::build({{{Gpa{0}, Gpa{0x100000}}, RegionKind::ram, true, 0, 0},
                               {{Gpa{0x100000}, Gpa{0x200000}}, RegionKind::ram, true, 0, 0x100000}},
                              {"ram"})} {}

  BatchedReads reads() {
    return {kMax,
            [this](Gpa gpa, std::size_t size, const BatchedReads::Take& take) -> Result<void> {
              requests.emplace_back(gpa.value(), size);
              if (broken) {
                return fail(ErrorKind::source_failed, "test", "it is broken");
              }
              if (std::ranges::any_of(bad, [&](std::uint64_t page) {
                    return page < gpa.value() + size && gpa.value() < page + kPageSize;
                  })) {
                return fail(ErrorKind::bad_page, "test", "a page cannot be read");
              }
              std::vector<std::byte> bytes(size);
              for (std::size_t i = 0; i < size; ++i) {
                bytes[i] = byte_at(gpa.value() + i);
              }
              take(bytes);
              return {};
            },
            parts};
  }

  ReadPiece read(std::uint64_t gpa, std::size_t size) {
    buffer.assign(size, std::byte{0});
    ReadPiece piece{Gpa{gpa}, buffer, 0, std::nullopt};
    reads().read({&piece, 1}, map);
    for (std::size_t i = 0; i < piece.done; ++i) {
      EXPECT_EQ(buffer[i], byte_at(gpa + i));
    }
    return piece;
  }

  static std::byte byte_at(std::uint64_t at) { return static_cast<std::byte>(at * 5 + at / 4096); }

  const MemoryMap map;
  std::vector<std::uint64_t> bad;
  bool broken = false;
  std::size_t parts = 2;
  std::vector<std::pair<std::uint64_t, std::size_t>> requests;
  std::vector<std::byte> buffer;
};

using Requests = std::vector<std::pair<std::uint64_t, std::size_t>>;

TEST(BatchedReads, NearPieces_AreOneRequest) {
  Source source;
  std::vector<std::byte> buffer(3 * kPageSize);
  std::vector<ReadPiece> pieces;
  for (const std::uint64_t at : {0x1000U, 0x2000U, 0x4000U}) {
    pieces.push_back(
        {Gpa{at}, std::span{buffer}.subspan(pieces.size() * kPageSize, kPageSize), 0, std::nullopt});
  }
  source.reads().read(pieces, source.map);
  EXPECT_EQ(source.requests, (Requests{{0x1000, 0x4000}}));
  for (const ReadPiece& piece : pieces) {
    EXPECT_EQ(piece.done, kPageSize);
    EXPECT_FALSE(piece.failure);
    EXPECT_EQ(piece.buffer[7], Source::byte_at(piece.gpa.value() + 7));
  }
}

TEST(BatchedReads, BorderOfRegionsAndMaximum_EndARequest) {
  Source source;
  EXPECT_EQ(source.read(0xff000, 0x2000).done, 0x2000U);
  EXPECT_EQ(source.requests, (Requests{{0xff000, 0x1000}, {0x100000, 0x1000}}));
  source.requests.clear();
  EXPECT_EQ(source.read(0x1000, kMax + 100).done, kMax + 100);
  EXPECT_EQ(source.requests, (Requests{{0x1000, kMax}, {0x1000 + kMax, 100}}));
}

TEST(BatchedReads, Hole_EndsThePiece) {
  Source source;
  const ReadPiece piece = source.read(0x1ff000, 0x2000);
  EXPECT_EQ(piece.done, kPageSize);
  EXPECT_EQ(piece.failure, ErrorKind::hole);
  EXPECT_EQ(source.read(0x300000, 16).failure, ErrorKind::hole);
}

TEST(BatchedReads, BadPage_EndsThePieceThere_AfterFewRequests) {
  Source source;
  source.bad = {0x7000};
  const ReadPiece piece = source.read(0x1100, kMax - 0x100);
  EXPECT_EQ(piece.done, 0x7000U - 0x1100);
  EXPECT_EQ(piece.failure, ErrorKind::bad_page);
  EXPECT_LE(source.requests.size(), 10U);
}

TEST(BatchedReads, BadPage_IsFoundWithFewerFailures_ByMoreParts) {
  Source source;
  source.bad = {0x7000};
  source.parts = 16;
  EXPECT_EQ(source.read(0x1100, kMax - 0x100).done, 0x7000U - 0x1100);
  EXPECT_EQ(source.requests.size(), 1 + 7U) << "all, and then page after page";
  source.requests.clear();
  EXPECT_EQ(source.read(0x6f00, 0x200).done, 0x100U);
  EXPECT_EQ(source.requests, (Requests{{0x6f00, 0x200}, {0x6f00, 0x100}, {0x7000, 0x100}}));
}

TEST(BatchedReads, OtherFailure_IsNotTriedInParts) {
  Source source;
  source.broken = true;
  EXPECT_EQ(source.read(0x1000, 0x8000).failure, ErrorKind::source_failed);
  EXPECT_EQ(source.requests.size(), 1U);
  EXPECT_FALSE(source.reads().measure(source.map).has_value());
}

} // namespace
} // namespace vmemfs
