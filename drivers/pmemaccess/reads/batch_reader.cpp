// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/reads/batch_reader.h"

#include "driver/kit/read_pieces.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace vmemfs::pmemaccess {
namespace {

using Clock = MemoryLink::Clock;

/// The part of a piece that one request fetches.
struct Part {
  ReadPiece* piece;
  std::size_t offset; ///< in the piece
  GpaRange range;
};

struct Fetch {
  GpaRange range;
  std::vector<Part> parts{}; ///< in the order of the pieces
};

/// Cuts a batch into requests.
class Plan {
public:
  Plan(std::span<ReadPiece> pieces, const MemoryMap& map) : map_{map} {
    for (ReadPiece& piece : pieces) {
      add(piece);
    }
  }
  [[nodiscard]] const std::vector<Fetch>& fetches() const { return fetches_; }

  /// Pieces that end at a hole, if they get that far. Called after the fetches.
  void end_at_holes() const {
    for (ReadPiece* const piece : into_holes_) {
      piece->failure = piece->failure.value_or(ErrorKind::hole);
    }
  }

private:
  void add(ReadPiece& piece) {
    piece.done = 0;
    piece.failure.reset();
    for (std::size_t at = 0; at < piece.buffer.size();) {
      const Gpa gpa = piece.gpa + at;
      const auto stretch = map_.at(gpa);
      if (stretch.region == nullptr) {
        into_holes_.push_back(&piece);
        return;
      }
      const std::size_t size =
          std::min<std::uint64_t>({stretch.range.end - gpa, piece.buffer.size() - at, kMaxRead});
      const Part part{&piece, at, {gpa, gpa + size}};
      if (!fetches_.empty() && continues(fetches_.back().range, part.range, *stretch.region)) {
        fetches_.back().range.end = std::max(fetches_.back().range.end, part.range.end);
        fetches_.back().parts.push_back(part);
      } else {
        fetches_.push_back({part.range, {part}});
      }
      at += size;
    }
  }

  [[nodiscard]] static bool continues(const GpaRange& fetch, const GpaRange& next, const Region& region) {
    return region.range.begin <= fetch.begin && fetch.begin <= next.begin &&
           next.begin.value() <= fetch.end.value() + BatchReader::kBridged &&
           std::max(fetch.end, next.end) - fetch.begin <= kMaxRead;
  }

  const MemoryMap& map_;
  std::vector<Fetch> fetches_;
  std::vector<ReadPiece*> into_holes_;
};

/// Carries out one fetch.
class Fetching {
public:
  Fetching(MemoryLink& link, const Fetch& fetch, Clock::time_point deadline)
      : link_{link}, fetch_{fetch}, deadline_{deadline} {}

  void run(GpaRange range) {
    if (!is_wanted(range)) {
      return;
    }
    // After its time not even a session that has ended is opened again.
    if (Clock::now() >= deadline_) {
      fail_parts(range, ErrorKind::timed_out);
      return;
    }
    const auto done = link_.read(range.begin, range.size(), deadline_,
                                 [&](std::span<const std::byte> bytes) { hand_out(range.begin, bytes); });
    if (done) {
      return;
    }
    const Gpa middle = half_of(range);
    if (done.error().kind == ErrorKind::bad_page && middle < range.end) {
      run({range.begin, middle});
      run({middle, range.end});
    } else {
      fail_parts(range, done.error().kind);
    }
  }

private:
  /// A border of pages inside; the end if there is none.
  [[nodiscard]] static Gpa half_of(const GpaRange& range) {
    const Gpa middle = (range.begin + (range.size() / 2 + kPageSize - 1)).page_start();
    const Gpa first_border = (range.begin + kPageSize).page_start();
    const Gpa border = middle > range.begin && middle < range.end ? middle : first_border;
    return std::min(border, range.end);
  }

  /// What a part and a range of the fetch have in common.
  [[nodiscard]] static GpaRange common(const Part& part, const GpaRange& range) {
    return {std::max(part.range.begin, range.begin), std::min(part.range.end, range.end)};
  }

  /// A piece ends at its first failure.
  [[nodiscard]] bool is_wanted(const GpaRange& range) const {
    return std::ranges::any_of(
        fetch_.parts, [&](const Part& part) { return !part.piece->failure && !common(part, range).empty(); });
  }

  void hand_out(Gpa begin, std::span<const std::byte> bytes) const {
    const GpaRange range{begin, begin + bytes.size()};
    for (const Part& part : fetch_.parts) {
      const GpaRange both = common(part, range);
      if (both.empty() || part.piece->failure) {
        continue;
      }
      const std::size_t at = part.offset + (both.begin - part.range.begin);
      std::memcpy(part.piece->buffer.data() + at, bytes.data() + (both.begin - begin), both.size());
      part.piece->done = at + both.size();
    }
  }

  void fail_parts(const GpaRange& range, ErrorKind why) const {
    for (const Part& part : fetch_.parts) {
      if (!common(part, range).empty()) {
        part.piece->failure = part.piece->failure.value_or(why);
      }
    }
  }

  MemoryLink& link_;
  const Fetch& fetch_;
  const Clock::time_point deadline_;
};

} // namespace

void BatchReader::read(std::span<ReadPiece> pieces, const MemoryMap& map) {
  const auto deadline = Clock::now() + 2 * link_.timeout();
  const Plan plan{pieces, map};
  for (const Fetch& fetch : plan.fetches()) {
    Fetching{link_, fetch, deadline}.run(fetch.range);
  }
  plan.end_at_holes();
  if (link_.ended()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

Result<ReadCost> BatchReader::measure(const MemoryMap& map) {
  const auto largest =
      std::ranges::max_element(map.regions(), {}, [](const Region& region) { return region.range.size(); });
  if (largest == map.regions().end()) {
    return ReadCost{};
  }
  using Time = Result<std::chrono::nanoseconds>;
  const auto fastest = [&](std::uint64_t size) -> Time {
    constexpr int kTries = 3;
    std::chrono::nanoseconds best = std::chrono::hours{1};
    for (int i = 0; i < kTries; ++i) {
      const auto begin = Clock::now();
      const auto done = link_.read(largest->range.begin, size, begin + link_.timeout(), [](auto) {});
      if (!done) {
        return tl::unexpected{done.error()};
      }
      best = std::min<std::chrono::nanoseconds>(best, Clock::now() - begin);
    }
    return best;
  };
  const auto pages =
      static_cast<std::int64_t>(std::min<std::uint64_t>(kMaxRead, largest->range.size()) / kPageSize);
  const Time call = fastest(std::min<std::uint64_t>(kPageSize, largest->range.size()));
  const Time all = call && pages > 1 ? fastest(static_cast<std::uint64_t>(pages) * kPageSize) : call;
  if (!all) {
    return tl::unexpected{all.error()};
  }
  return ReadCost{*call, std::max<std::chrono::nanoseconds>((*all - *call) / std::max<std::int64_t>(pages, 1),
                                                            std::chrono::nanoseconds{0})};
}

} // namespace vmemfs::pmemaccess
