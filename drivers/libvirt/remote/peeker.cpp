// SPDX-License-Identifier: MIT
#include "drivers/libvirt/remote/peeker.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <vector>

namespace vmemfs::libvirt {
namespace {

using Clock = std::chrono::steady_clock;

/// Where some of the bytes of a call belong.
struct Part {
  std::size_t piece;
  std::size_t offset;  ///< in the piece
  std::size_t in_call; ///< in what the call fetches
  std::size_t size;
};

struct Call {
  GpaRange range;
  std::vector<Part> parts{}; ///< in order of address
};

/// The batch as a list of calls.
class Plan {
public:
  Plan(std::span<ReadPiece> pieces, const MemoryMap& map, std::size_t max_call_bytes)
      : map_{map}, max_bytes_{max_call_bytes} {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      add(i, pieces[i]);
    }
  }
  [[nodiscard]] const std::vector<Call>& calls() const { return calls_; }

private:
  void add(std::size_t index, ReadPiece& piece) {
    piece.done = 0;
    piece.failure.reset();
    for (std::size_t at = 0; at < piece.buffer.size();) {
      const auto stretch = map_.at(piece.gpa + at);
      if (stretch.region == nullptr) {
        piece.failure = ErrorKind::hole;
        return;
      }
      const Gpa gpa = piece.gpa + at;
      const std::size_t size =
          std::min<std::uint64_t>({stretch.range.end - gpa, piece.buffer.size() - at, max_bytes_});
      add(stretch, {gpa, gpa + size}, index, at);
      at += size;
    }
  }

  void add(const MemoryMap::Stretch& stretch, GpaRange range, std::size_t piece, std::size_t offset) {
    if (!calls_.empty() && continues(calls_.back().range, range, stretch)) {
      calls_.back().range.end = range.end;
    } else {
      calls_.push_back({range});
    }
    Call& call = calls_.back();
    call.parts.push_back({piece, offset, range.begin - call.range.begin, range.size()});
  }

  /// True if all between the two belongs to the same stretch, or there is nothing between them.
  [[nodiscard]] bool continues(const GpaRange& call, const GpaRange& next,
                               const MemoryMap::Stretch& stretch) const {
    return call.end <= next.begin && next.end - call.begin <= max_bytes_ &&
           next.begin - call.end <= Peeker::kBridged &&
           (call.end == next.begin || stretch.region->range.begin <= call.end);
  }

  const MemoryMap& map_;
  const std::size_t max_bytes_;
  std::vector<Call> calls_;
};

/// Completes each piece up to the first call that failed.
void make(const Call& call, Domain& domain, std::span<ReadPiece> pieces) {
  const auto bytes = domain.peek(call.range);
  for (const Part& part : call.parts) {
    ReadPiece& piece = pieces[part.piece];
    if (piece.failure && piece.done < part.offset) { // an earlier call for it has failed
      continue;
    }
    if (!bytes) {
      piece.failure = bytes.error().kind;
      continue;
    }
    std::memcpy(piece.buffer.data() + part.offset, bytes->get() + part.in_call, part.size);
    piece.done = part.offset + part.size;
  }
}

} // namespace

void Peeker::read(std::span<ReadPiece> pieces, const MemoryMap& map) {
  for (const Plan plan{pieces, map, max_call_bytes_}; const Call& call : plan.calls()) {
    make(call, *domain_, pieces);
  }
}

Result<ReadCost> Peeker::measure(const MemoryMap& map) {
  const auto largest =
      std::ranges::max_element(map.regions(), {}, [](const Region& region) { return region.range.size(); });
  if (largest == map.regions().end()) {
    return ReadCost{};
  }
  const GpaRange& range = largest->range;
  using Time = Result<std::chrono::nanoseconds>;
  const auto fastest = [&](std::uint64_t size, int tries) -> Time {
    std::chrono::nanoseconds best = std::chrono::hours{1};
    for (int i = 0; i < tries; ++i) {
      const auto begin = Clock::now();
      if (const auto bytes = domain_->peek({range.begin, range.begin + size}); !bytes) {
        return tl::unexpected{bytes.error()};
      }
      best = std::min<std::chrono::nanoseconds>(best, Clock::now() - begin);
    }
    return best;
  };
  constexpr std::chrono::milliseconds kLongEnough{250};
  const Time call = fastest(std::min<std::uint64_t>(kPageSize, range.size()), 3);
  if (!call) {
    return tl::unexpected{call.error()};
  }
  std::chrono::nanoseconds page{0};
  for (std::size_t size = kMinCallBytes; size <= std::min<std::uint64_t>(kMaxCallBytes, range.size());
       size *= 4) {
    const Time all = fastest(size, size == kMaxCallBytes ? 2 : 1);
    if (!all) {
      return tl::unexpected{all.error()};
    }
    max_call_bytes_ = size;
    page = std::max<std::chrono::nanoseconds>((*all - *call) / static_cast<std::int64_t>(size / kPageSize),
                                              std::chrono::nanoseconds{0});
    if (*all > kLongEnough) {
      break;
    }
  }
  return ReadCost{*call, page};
}

} // namespace vmemfs::libvirt
