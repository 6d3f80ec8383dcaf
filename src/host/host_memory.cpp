// SPDX-License-Identifier: MIT
#include "host/host_memory.h"

#include "core/gpa.h"
#include "host/private_batch.h"
#include "host/process_memory.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <utility>

namespace vmemfs {
namespace {

/// The segment that holds `hva`, or nullptr.
const HostSegment* find_segment(const std::vector<HostSegment>& segments, Hva hva) {
  const auto after =
      std::upper_bound(segments.begin(), segments.end(), hva,
                       [](Hva at, const HostSegment& segment) { return at < segment.range.begin; });
  if (after == segments.begin() || !std::prev(after)->range.contains(hva)) {
    return nullptr;
  }
  return &*std::prev(after);
}

/// One call of HostMemory::read().
class ReadCall final : private PrivateBatch::Sink {
public:
  ReadCall(const ProcessSpace& space, const std::vector<HostSegment>& segments, const Pagemap& pagemap,
           std::span<HostPiece> pieces)
      : space_{space}, segments_{segments}, pagemap_{pagemap}, pieces_{pieces}, batch_{space, *this} {}

  /// An error: nothing that was read may be used.
  std::optional<ErrorKind> run() {
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      pieces_[i].done = pieces_[i].buffer.size();
      pieces_[i].failure.reset();
      read_piece(i);
    }
    auto failure = batch_.finish();
    if (!batch_.used() && !space_.running()) { // a memfd outlives its VM
      failure = ErrorKind::vm_gone;
    }
    return failure;
  }

private:
  void read_piece(std::size_t index) {
    HostPiece& piece = pieces_[index];
    std::size_t at = 0;
    while (at < piece.buffer.size() && !piece.failure) {
      const HostSegment* const segment = find_segment(segments_, piece.hva + at);
      if (segment == nullptr) {
        fail_from(piece, at, ErrorKind::hole);
        return;
      }
      const std::size_t size = std::min(piece.buffer.size() - at, segment->range.end - (piece.hva + at));
      read_part(index, *segment, at, size);
      at += size;
    }
  }

  void read_part(std::size_t index, const HostSegment& segment, std::size_t at, std::size_t size) {
    HostPiece& piece = pieces_[index];
    switch (segment.access) {
    case Access::file: read_file(piece, segment, at, size); break;
    case Access::process: batch_.add(index, piece.hva + at, piece.buffer.subspan(at, size)); break;
    case Access::process_guard: read_guarded(index, segment, at, size); break;
    case Access::refused: fail_from(piece, at, ErrorKind::unsupported); break;
    }
  }

  static void read_file(HostPiece& piece, const HostSegment& segment, std::size_t at, std::size_t size) {
    const std::uint64_t offset = segment.file_offset + (piece.hva + at - segment.range.begin);
    const auto [done, os_errno] = segment.file->read(offset, piece.buffer.subspan(at, size));
    if (done < size) {
      // Short without an error: the file is shorter than what is mapped.
      fail_from(piece, at + done, os_errno == 0 ? ErrorKind::source_failed : kind_of_errno(os_errno));
    }
  }

  /// Splits at changes between present and absent pages, as many pages at a time as fit.
  void read_guarded(std::size_t index, const HostSegment& segment, std::size_t at, std::size_t size) {
    HostPiece& piece = pieces_[index];
    std::array<std::uint64_t, 512> entries;
    const std::size_t end = at + size;
    while (at < end && !piece.failure) {
      const std::size_t wanted = pages_touched(piece.hva + at, end - at);
      const std::size_t got =
          pagemap_.read(piece.hva + at, std::span{entries}.first(std::min(wanted, entries.size())));
      if (got == 0) {
        fail_from(piece, at, ErrorKind::source_failed);
        return;
      }
      at = read_runs(index, segment, at, end, std::span{entries}.first(got));
    }
  }

  /// Reads the pages that `entries` describe, up to `end`; returns where it stopped.
  std::size_t read_runs(std::size_t index, const HostSegment& segment, std::size_t at, std::size_t end,
                        std::span<const std::uint64_t> entries) {
    HostPiece& piece = pieces_[index];
    while (!entries.empty() && at < end) {
      const bool there = Pagemap::is_there(entries.front());
      const auto changes = [there](std::uint64_t entry) { return Pagemap::is_there(entry) != there; };
      const auto pages = static_cast<std::size_t>(std::ranges::find_if(entries, changes) - entries.begin());
      const std::uint64_t lead = (piece.hva + at) % kPageSize;
      const std::size_t size = std::min(end - at, pages * kPageSize - lead);
      if (there || moved_huge_page(segment, piece.hva + at, size)) {
        batch_.add(index, piece.hva + at, piece.buffer.subspan(at, size));
      } else if (segment.file) {
        read_file(piece, segment, at, size);
      } else {
        std::memset(piece.buffer.data() + at, 0, size);
      }
      at += size;
      entries = entries.subspan(pages);
    }
    return at;
  }

  /// Zeros in place of a page that is being moved would be wrong; ordinary pages are reported correctly.
  [[nodiscard]] bool moved_huge_page(const HostSegment& segment, Hva hva, std::size_t size) const {
    const bool huge = segment.file == nullptr || segment.file->is_hugetlb();
    return huge && pagemap_.any_huge_page(hva, size);
  }

  static std::size_t pages_touched(Hva hva, std::size_t size) {
    return (hva % kPageSize + size + kPageSize - 1) / kPageSize;
  }

  /// Parts of a piece are not read in order, so the lowest failure counts.
  static void fail_from(HostPiece& piece, std::size_t done, ErrorKind kind) {
    if (!piece.failure || done < piece.done) {
      piece.done = done;
      piece.failure = kind;
    }
  }

  void stretch_failed(std::size_t tag, const std::byte* unread, int os_errno) override {
    HostPiece& piece = pieces_[tag];
    fail_from(piece, static_cast<std::size_t>(unread - piece.buffer.data()), kind_of_errno(os_errno));
  }

  const ProcessSpace& space_;
  const std::vector<HostSegment>& segments_;
  const Pagemap& pagemap_;
  std::span<HostPiece> pieces_;
  PrivateBatch batch_;
};

/// Checks that reads will be allowed, so that the user gets the error at the start.
Result<void> check_access(const ProcessSpace& space, const std::vector<HostSegment>& segments) {
  const auto reads_process = [](const HostSegment& segment) {
    return segment.access == Access::process || segment.access == Access::process_guard;
  };
  if (std::ranges::none_of(segments, reads_process)) {
    return {};
  }
  return check_process_memory_access(space.pid());
}

Result<void> check_usable(const std::vector<HostSegment>& segments) {
  const auto usable = [](const HostSegment& segment) { return segment.access != Access::refused; };
  if (segments.empty() || std::ranges::any_of(segments, usable)) {
    return {};
  }
  return fail(ErrorKind::unsupported, "proc",
              fmt::format("cannot access guest memory: {}", segments.front().detail));
}

} // namespace

HostMemory::HostMemory(std::shared_ptr<const ProcessSpace> space, std::vector<HostSegment> segments)
    : space_{std::move(space)}, segments_{std::move(segments)} {}

Result<std::shared_ptr<HostMemory>> HostMemory::open(std::shared_ptr<const ProcessSpace> space,
                                                     std::span<const HvaRange> ranges) {
  auto segments = plan_segments(*space, ranges);
  const auto access = segments ? check_access(*space, *segments) : Result<void>{};
  // Checked last: what was found by pid belongs to this program if the process still runs it.
  if (auto current = space->check_current(); !current) {
    return tl::unexpected{current.error()};
  }
  if (!segments) {
    return tl::unexpected{segments.error()};
  }
  if (!access) {
    return tl::unexpected{access.error()};
  }
  if (auto usable = check_usable(*segments); !usable) {
    return tl::unexpected{usable.error()};
  }
  return std::shared_ptr<HostMemory>{new HostMemory{std::move(space), std::move(*segments)}};
}

void HostMemory::read(std::span<HostPiece> pieces) const {
  if (const auto failure = ReadCall{*space_, segments_, pagemap_, pieces}.run()) {
    for (HostPiece& piece : pieces) {
      piece.done = 0;
      piece.failure = failure;
    }
  }
}

std::span<const std::byte> HostMemory::borrow(Hva hva, std::size_t size) const {
  const HostSegment* const segment = find_segment(segments_, hva);
  if (segment == nullptr || !segment->view || size <= kPageSize) {
    return {};
  }
  const auto bytes = segment->view.if_resident(hva - segment->range.begin, size);
  return bytes.empty() || space_->running() ? bytes : std::span<const std::byte>{};
}

HostMemory::SharedFile HostMemory::shared_file(const HvaRange& range) const {
  const HostSegment* const segment = find_segment(segments_, range.begin);
  if (segment == nullptr || segment->access != Access::file || range.end > segment->range.end) {
    return {};
  }
  return {segment->file, segment->file_offset + (range.begin - segment->range.begin),
          segment->written_by_process};
}

UseSearch HostMemory::find(const HvaRange& range, MemoryUse wanted) const {
  const HostSegment* const segment = find_segment(segments_, range.begin);
  if (segment == nullptr) {
    return all_held(range.size(), wanted);
  }
  const HvaRange part{range.begin, std::min(range.end, segment->range.end)};
  UseSearch result = all_held(part.size(), wanted);
  if (segment->access == Access::file) {
    const std::uint64_t offset = segment->file_offset + (part.begin - segment->range.begin);
    result = segment->file->find(offset, part.size(), wanted);
  } else if (segment->anonymous) {
    result = pagemap_.find(part, wanted);
  }
  // Checked last: an address space that has gone looks sparse.
  if (reports_sparse(result, wanted) && (!space_->alive() || userfault_.any(*space_))) {
    return all_held(part.size(), wanted);
  }
  return result;
}

std::uint64_t HostMemory::held_bytes(std::span<const HvaRange> ranges) const {
  std::uint64_t bytes = 0;
  std::uint64_t anonymous = 0;
  std::map<const BackingFile*, std::uint64_t> mapped;
  for (const HvaRange& range : ranges) {
    for (Hva at = range.begin; at < range.end;) {
      const HostSegment* const segment = find_segment(segments_, at);
      const Hva end = segment != nullptr ? std::min(range.end, segment->range.end) : range.end;
      std::uint64_t& kind = segment == nullptr                ? bytes
                            : segment->access == Access::file ? mapped[segment->file.get()]
                            : segment->anonymous              ? anonymous
                                                              : bytes;
      kind += end - at;
      at = end;
    }
  }
  for (const auto& [file, size] : mapped) {
    bytes += std::min(size, file->held_bytes().value_or(size));
  }
  if (anonymous > 0) {
    bytes += std::min(anonymous, private_bytes(space_->pid()).value_or(anonymous));
  }
  return bytes;
}

std::string HostMemory::describe() const {
  std::map<std::string_view, std::uint64_t> bytes_by_kind;
  for (const HostSegment& segment : segments_) {
    if (segment.access != Access::refused) {
      bytes_by_kind[segment.detail] += segment.range.size();
    }
  }
  std::vector<std::pair<std::uint64_t, std::string_view>> kinds;
  kinds.reserve(bytes_by_kind.size());
  for (const auto& [detail, bytes] : bytes_by_kind) {
    kinds.emplace_back(bytes, detail);
  }
  std::ranges::sort(kinds, std::greater{});
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(kinds.size(), kShown); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : "; ", kinds[i].second);
  }
  return kinds.size() > kShown ? text + fmt::format("; and {} more kinds", kinds.size() - kShown) : text;
}

std::vector<HostStretch> HostMemory::stretches() const {
  std::vector<HostStretch> stretches;
  stretches.reserve(segments_.size());
  for (const HostSegment& segment : segments_) {
    stretches.push_back({segment.range, segment.access != Access::refused, segment.detail});
  }
  return stretches;
}

} // namespace vmemfs
