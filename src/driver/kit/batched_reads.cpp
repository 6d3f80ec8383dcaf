// SPDX-License-Identifier: MIT
#include "driver/kit/batched_reads.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <vector>

namespace vmemfs {
namespace {

using Clock = std::chrono::steady_clock;

/// The part of a piece that one request fetches.
struct Part {
  ReadPiece* piece;
  std::size_t offset; ///< in the piece
  GpaRange range;
};

struct Request {
  GpaRange range;
  std::vector<Part> parts{}; ///< in the order of the pieces
};

/// Cuts a batch into requests.
class Plan {
public:
  Plan(std::span<ReadPiece> pieces, const MemoryMap& map, std::size_t max_request)
      : map_{map}, max_request_{max_request} {
    for (ReadPiece& piece : pieces) {
      add(piece);
    }
  }
  [[nodiscard]] const std::vector<Request>& requests() const { return requests_; }

  /// Pieces that end at a hole, if they get that far. Called after the requests.
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
          std::min<std::uint64_t>({stretch.range.end - gpa, piece.buffer.size() - at, max_request_});
      const Part part{&piece, at, {gpa, gpa + size}};
      if (!requests_.empty() && continues(requests_.back().range, part.range, *stretch.region)) {
        requests_.back().range.end = std::max(requests_.back().range.end, part.range.end);
        requests_.back().parts.push_back(part);
      } else {
        requests_.push_back({part.range, {part}});
      }
      at += size;
    }
  }

  [[nodiscard]] bool continues(const GpaRange& fetch, const GpaRange& next, const Region& region) const {
    return region.range.begin <= fetch.begin && fetch.begin <= next.begin &&
           next.begin.value() <= fetch.end.value() + BatchedReads::kBridged &&
           std::max(fetch.end, next.end) - fetch.begin <= max_request_;
  }

  const MemoryMap& map_;
  const std::size_t max_request_;
  std::vector<Request> requests_;
  std::vector<ReadPiece*> into_holes_;
};

/// Carries out one request, or the parts of it.
class Fetching {
public:
  Fetching(const BatchedReads::Fetch& fetch, const Request& request, std::size_t parts)
      : fetch_{fetch}, request_{request}, parts_{parts} {}

  void run(GpaRange range) {
    if (!is_wanted(range)) {
      return;
    }
    const auto done = fetch_(range.begin, range.size(),
                             [&](std::span<const std::byte> bytes) { hand_out(range.begin, bytes); });
    if (done) {
      return;
    }
    const std::uint64_t size = std::max<std::uint64_t>((range.size() + parts_ - 1) / parts_, kPageSize);
    if (done.error().kind != ErrorKind::bad_page || next_border(range.begin, size) >= range.end) {
      fail_parts(range, done.error().kind);
      return;
    }
    for (Gpa at = range.begin; at < range.end;) {
      const Gpa next = std::min(next_border(at, size), range.end);
      run({at, next});
      at = next;
    }
  }

private:
  /// The border of pages that is `size` bytes, in whole pages, after the page of `at`.
  [[nodiscard]] static Gpa next_border(Gpa at, std::uint64_t size) {
    return (at.page_start() + (size + kPageSize - 1)).page_start();
  }

  /// What a part and a range of the fetch have in common.
  [[nodiscard]] static GpaRange common(const Part& part, const GpaRange& range) {
    return {std::max(part.range.begin, range.begin), std::min(part.range.end, range.end)};
  }

  /// A piece ends at its first failure.
  [[nodiscard]] bool is_wanted(const GpaRange& range) const {
    return std::ranges::any_of(request_.parts, [&](const Part& part) {
      return !part.piece->failure && !common(part, range).empty();
    });
  }

  void hand_out(Gpa begin, std::span<const std::byte> bytes) const {
    const GpaRange range{begin, begin + bytes.size()};
    for (const Part& part : request_.parts) {
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
    for (const Part& part : request_.parts) {
      if (!common(part, range).empty()) {
        part.piece->failure = part.piece->failure.value_or(why);
      }
    }
  }

  const BatchedReads::Fetch& fetch_;
  const Request& request_;
  const std::size_t parts_;
};

} // namespace

void BatchedReads::read(std::span<ReadPiece> pieces, const MemoryMap& map) const {
  const Plan plan{pieces, map, max_request_};
  for (const Request& request : plan.requests()) {
    Fetching{fetch_, request, parts_}.run(request.range);
  }
  plan.end_at_holes();
}

Result<ReadCost> BatchedReads::measure(const MemoryMap& map) const {
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
      const auto done = fetch_(largest->range.begin, size, [](auto) {});
      if (!done) {
        return tl::unexpected{done.error()};
      }
      best = std::min<std::chrono::nanoseconds>(best, Clock::now() - begin);
    }
    return best;
  };
  const auto pages =
      static_cast<std::int64_t>(std::min<std::uint64_t>(max_request_, largest->range.size()) / kPageSize);
  const Time call = fastest(std::min<std::uint64_t>(kPageSize, largest->range.size()));
  const Time all = call && pages > 1 ? fastest(static_cast<std::uint64_t>(pages) * kPageSize) : call;
  if (!all) {
    return tl::unexpected{all.error()};
  }
  return ReadCost{*call, std::max<std::chrono::nanoseconds>((*all - *call) / std::max<std::int64_t>(pages, 1),
                                                            std::chrono::nanoseconds{0})};
}

std::string describe_requests(const ReadCost& cost, std::size_t max_request) {
  return fmt::format(
      "one request at a time: {} us a request and {} ns each 4 KiB, measured while attaching; up to "
      "{} KiB a request",
      std::chrono::duration_cast<std::chrono::microseconds>(cost.call).count(), cost.page.count(),
      max_request >> 10U);
}

} // namespace vmemfs
