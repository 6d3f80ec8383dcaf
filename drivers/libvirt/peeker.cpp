#include "drivers/libvirt/peeker.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <utility>
#include <vector>

namespace vmemfs::libvirt {
namespace {

using Clock = std::chrono::steady_clock;

/// Where some bytes of a call go.
struct Part {
  std::size_t piece;
  std::size_t offset; ///< in the piece
  std::size_t size;
};

struct Call {
  Gpa gpa;
  std::size_t size = 0;
  std::vector<Part> parts{}; ///< in the order of their addresses, without gaps
  std::optional<ErrorKind> failure{};
};

Result<void> peek(const DomainHandle& domain, Gpa gpa, std::span<std::byte> buffer) {
  if (virDomainMemoryPeek(domain.get(), gpa.value(), buffer.size(), buffer.data(), VIR_MEMORY_PHYSICAL) < 0) {
    return fail_vir(fmt::format("can't read {} bytes at {:#x}", buffer.size(), gpa.value()));
  }
  return {};
}

/// The batch as calls.
std::vector<Call> plan(std::span<ReadPiece> pieces, const MemoryMap& map) {
  std::vector<Call> calls;
  const auto add = [&](std::size_t piece, std::size_t offset, Gpa gpa, std::size_t size) {
    const bool goes_on = !calls.empty() && calls.back().gpa + calls.back().size == gpa &&
                         calls.back().size + size <= Peeker::kMostOfACall;
    if (!goes_on) {
      calls.push_back({.gpa = gpa});
    }
    calls.back().size += size;
    calls.back().parts.push_back({piece, offset, size});
  };
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    ReadPiece& piece = pieces[i];
    piece.done = 0;
    piece.failure.reset();
    for (std::size_t at = 0; at < piece.buffer.size() && !piece.failure;) {
      const Gpa gpa = piece.gpa + at;
      const auto stretch = map.at(gpa);
      if (stretch.region == nullptr) {
        piece.failure = ErrorKind::hole;
        break;
      }
      const std::size_t size =
          std::min<std::uint64_t>({stretch.range.end - gpa, piece.buffer.size() - at, Peeker::kMostOfACall});
      add(i, at, gpa, size);
      at += size;
    }
  }
  return calls;
}

/// A batch under way; whoever has time takes the next call.
struct Batch {
  std::span<ReadPiece> pieces;
  std::vector<Call> calls;
  DomainHandle domain;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> done{0};

  void run() {
    for (;;) {
      const std::size_t index = next.fetch_add(1);
      if (index >= calls.size()) {
        return; // from here on the pieces may be gone
      }
      make(calls[index]);
      done.fetch_add(1);
      done.notify_all();
    }
  }

  void wait() const {
    for (std::size_t now = done.load(); now < calls.size(); now = done.load()) {
      done.wait(now);
    }
  }

private:
  [[nodiscard]] std::span<std::byte> target(const Part& part) const {
    return pieces[part.piece].buffer.subspan(part.offset, part.size);
  }

  void make(Call& call) const {
    if (call.parts.size() == 1) {
      note(call, peek(domain, call.gpa, target(call.parts.front())));
      return;
    }
    std::vector<std::byte> bytes(call.size);
    note(call, peek(domain, call.gpa, bytes));
    std::size_t at = 0;
    for (const Part& part : call.parts) {
      std::memcpy(target(part).data(), bytes.data() + at, part.size);
      at += part.size;
    }
  }

  static void note(Call& call, const Result<void>& result) {
    if (!result) {
      call.failure = result.error().kind == ErrorKind::not_found ? ErrorKind::vm_gone : result.error().kind;
    }
  }
};

/// What each piece got: all up to the first call that failed.
void settle(const Batch& batch) {
  std::vector<bool> failed(batch.pieces.size(), false);
  for (const Call& call : batch.calls) {
    for (const Part& part : call.parts) {
      ReadPiece& piece = batch.pieces[part.piece];
      if (failed[part.piece]) {
        continue;
      }
      if (call.failure) {
        piece.failure = call.failure;
        failed[part.piece] = true;
      } else {
        piece.done = part.offset + part.size;
      }
    }
  }
}

void fail_all(std::span<ReadPiece> pieces, ErrorKind kind) {
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure = kind;
  }
}

} // namespace

void Peeker::read(std::span<ReadPiece> pieces, const MemoryMap& map) {
  auto calls = plan(pieces, map);
  if (calls.empty()) {
    return;
  }
  auto domain = domain_->handle();
  if (!domain) {
    fail_all(pieces, domain.error().kind);
    return;
  }
  const auto batch = std::make_shared<Batch>();
  batch->pieces = pieces;
  batch->calls = std::move(calls);
  batch->domain = std::move(*domain);
  for (std::size_t i = 1; i < std::min<std::size_t>(batch->calls.size(), kCalls); ++i) {
    helpers_.post([batch] { batch->run(); });
  }
  batch->run();
  batch->wait();
  settle(*batch);
}

Result<ReadCost> Peeker::measure(const MemoryMap& map) {
  const auto domain = domain_->handle();
  if (!domain) {
    return tl::unexpected{domain.error()};
  }
  const auto largest =
      std::ranges::max_element(map.regions(), {}, [](const Region& region) { return region.range.size(); });
  if (largest == map.regions().end()) {
    return ReadCost{};
  }
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kMostOfACall, largest->range.size()));
  const auto time = [&](std::size_t size) -> Result<std::chrono::nanoseconds> {
    const auto begin = Clock::now();
    return peek(*domain, largest->range.begin, std::span{buffer}.first(size)).map([&] {
      return std::chrono::nanoseconds{Clock::now() - begin};
    });
  };
  const std::size_t small = std::min<std::size_t>(kPageSize, buffer.size());
  std::chrono::nanoseconds call = std::chrono::hours{1};
  for (int i = 0; i < 3; ++i) {
    const auto one = time(small);
    if (!one) {
      return tl::unexpected{one.error()};
    }
    call = std::min(call, *one);
  }
  const auto all = time(buffer.size());
  if (!all) {
    return tl::unexpected{all.error()};
  }
  const auto pages = static_cast<std::int64_t>(std::max<std::size_t>(buffer.size() / kPageSize, 1));
  return ReadCost{call,
                  std::max<std::chrono::nanoseconds>((*all - call) / pages, std::chrono::nanoseconds{0})};
}

} // namespace vmemfs::libvirt
