// SPDX-License-Identifier: MIT
#include "drivers/leechcore/memory/scatter_memory.h"

#include "driver/kit/read_pieces.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::size_t kAlignment = 8; ///< of what a device writes

std::size_t aligned_begin(std::size_t offset) { return offset & ~(kAlignment - 1); }
std::size_t aligned_end(std::size_t offset) { return (offset + kAlignment - 1) & ~(kAlignment - 1); }

WriteOutcome stopped(std::size_t done, ErrorKind kind, Gpa at) {
  const auto reason = [kind] {
    switch (kind) {
    case ErrorKind::hole: return "there is no memory";
    case ErrorKind::read_only: return "the device is read only; a file needs the option write=1";
    case ErrorKind::vm_gone: return "the worker process of LeechCore has ended";
    case ErrorKind::busy: return "the device is busy with other calls; try again";
    default: return "LeechCore did not write it; check the device";
    }
  };
  return {done,
          Error{kind, std::string{kOrigin}, fmt::format("cannot write {:#x}: {}", at.value(), reason())}};
}

} // namespace

/// Cuts pieces into parts of pages, for one call after another.
class ScatterMemory::Filler {
public:
  Filler(std::span<ReadPiece> pieces, const MemoryMap& map) : pieces_{pieces}, map_{map} {}

  /// The parts of the next call, and its elements. Returns the number of these; 0: all is done.
  std::size_t fill(std::vector<Part>& parts, std::span<Element, kMaxPages> elements) {
    parts.clear();
    slots_ = 0;
    if (next_ < pieces_.size() && pieces_[next_].done != at_) { // a page of it failed
      next_piece();
    }
    while (next_ < pieces_.size() && parts.size() < kMaxPages && slots_ < kMaxPages) {
      ReadPiece& piece = pieces_[next_];
      const Gpa here = piece.gpa + at_;
      if (at_ == piece.buffer.size()) {
        next_piece();
      } else if (!has_memory(here)) {
        piece.failure = ErrorKind::hole;
        next_piece();
      } else {
        add(parts, elements, piece, here);
      }
    }
    return slots_;
  }

private:
  void next_piece() {
    ++next_;
    at_ = 0;
  }

  bool has_memory(Gpa gpa) {
    if (!stretch_.range.contains(gpa)) {
      stretch_ = map_.at(gpa);
    }
    return stretch_.region != nullptr;
  }

  /// Regions consist of whole pages. A page is read once for all parts in a row that lie in it.
  void add(std::vector<Part>& parts, std::span<Element, kMaxPages> elements, ReadPiece& piece, Gpa here) {
    const Gpa page = here.page_start();
    if (slots_ == 0 || elements_last_ != page) {
      elements[slots_] = {page.value(), 0, kPageSize};
      elements_last_ = page;
      ++slots_;
    }
    const std::size_t offset = here.page_offset();
    const std::size_t size = std::min<std::size_t>(kPageSize - offset, piece.buffer.size() - at_);
    parts.push_back({&piece, at_, slots_ - 1, offset, size});
    at_ += size;
  }

  const std::span<ReadPiece> pieces_;
  const MemoryMap& map_;
  std::size_t next_ = 0; ///< the piece to go on with
  std::size_t at_ = 0;   ///< and where in it
  std::size_t slots_ = 0;
  Gpa elements_last_; ///< the page of the last element; not read back from memory that the worker can change
  MemoryMap::Stretch stretch_{nullptr, {}};
};

ScatterMemory::ScatterMemory(std::unique_ptr<WorkerClient> client) : client_{std::move(client)} {
  const MutexLock lock{calls_};
  parts_.reserve(kMaxPages);
}

void ScatterMemory::read(std::span<ReadPiece> pieces, const MemoryMap& map) {
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure.reset();
  }
  Filler filler{pieces, map};
  for (;;) {
    if (!calls_.try_lock_until(client_->deadline())) {
      std::ranges::for_each(pieces, [](ReadPiece& piece) {
        if (!piece.failure && piece.done < piece.buffer.size()) {
          piece.failure = ErrorKind::source_failed;
        }
      });
      return;
    }
    const MutexLock lock{calls_, std::adopt_lock};
    const std::size_t slots = filler.fill(parts_, client_->area().elements);
    if (slots == 0) {
      break;
    }
    const auto read = client_->scatter(Operation::read, slots, results_);
    if (!read && read.error() != ErrorKind::source_failed) {
      break;
    }
    if (!read) {
      results_.fill(0);
    }
    take_parts();
  }
  if (lost()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

/// A part after one that failed does not belong to its piece any more.
void ScatterMemory::take_parts() {
  for (const Part& part : parts_) {
    ReadPiece& piece = *part.piece;
    if (piece.done != part.at) {
      continue;
    }
    if (results_[part.slot] != 1) {
      piece.failure = ErrorKind::bad_page;
      continue;
    }
    const auto& page = client_->area().pages[part.slot];
    std::copy_n(page.begin() + static_cast<std::ptrdiff_t>(part.offset), part.size,
                piece.buffer.begin() + static_cast<std::ptrdiff_t>(part.at));
    piece.done += part.size;
  }
}

WriteOutcome ScatterMemory::write(Gpa gpa, std::span<const std::byte> bytes, const MemoryMap& map) {
  if (!calls_.try_lock_until(client_->deadline())) {
    return stopped(0, ErrorKind::busy, gpa);
  }
  const MutexLock lock{calls_, std::adopt_lock};
  std::vector<Patch> patches;
  std::size_t done = 0;
  while (done < bytes.size()) {
    std::size_t planned = done;
    ErrorKind end = ErrorKind::hole;
    patches.clear();
    while (planned < bytes.size() && patches.size() < kMaxPages) {
      const Gpa here = gpa + planned;
      const Region* const region = map.at(here).region;
      if (region == nullptr || !region->writable) {
        end = region == nullptr ? ErrorKind::hole : ErrorKind::read_only;
        break;
      }
      const std::size_t size = std::min<std::size_t>(kPageSize - here.page_offset(), bytes.size() - planned);
      patches.push_back({here.page_start(), here.page_offset(), bytes.subspan(planned, size)});
      planned += size;
    }
    if (patches.empty()) {
      return stopped(done, lost() ? ErrorKind::vm_gone : end, gpa + done);
    }
    const auto written = write_patches(patches);
    if (!written) {
      return stopped(done, written.error(), gpa + done);
    }
    done += *written;
    if (done != planned) {
      return stopped(done, ErrorKind::bad_page, gpa + done);
    }
  }
  return {done, std::nullopt};
}

tl::expected<std::size_t, ErrorKind> ScatterMemory::write_patches(std::span<const Patch> patches) {
  if (const auto read = read_edges(patches); !read) {
    return tl::unexpected{read.error()};
  }
  SharedArea& area = client_->area();
  for (std::size_t i = 0; i < patches.size(); ++i) {
    const Patch& patch = patches[i];
    const std::size_t begin = aligned_begin(patch.offset);
    const std::size_t end = aligned_end(patch.offset + patch.bytes.size());
    if (end - begin != patch.bytes.size()) { // the first or the last one
      area.pages[i] = edges_[i == 0 ? 0 : 1];
    }
    std::ranges::copy(patch.bytes, area.pages[i].begin() + static_cast<std::ptrdiff_t>(patch.offset));
    area.elements[i] = {patch.page.value(), static_cast<std::uint32_t>(begin),
                        static_cast<std::uint32_t>(end - begin)};
  }
  if (const auto written = client_->scatter(Operation::write, patches.size(), results_); !written) {
    return tl::unexpected{written.error()};
  }
  std::size_t done = 0;
  for (std::size_t i = 0; i < patches.size() && results_[i] == 1; ++i) {
    done += patches[i].bytes.size();
  }
  return done;
}

tl::expected<void, ErrorKind> ScatterMemory::read_edges(std::span<const Patch> patches) {
  std::size_t count = 0;
  std::array<std::size_t, 2> edge_of{};
  SharedArea& area = client_->area();
  for (const std::size_t i : {std::size_t{0}, patches.size() - 1}) {
    const Patch& patch = patches[i];
    const bool whole = patch.offset % kAlignment == 0 && patch.bytes.size() % kAlignment == 0;
    if (!whole && (count == 0 || i != 0)) {
      area.elements[count] = {patch.page.value(), 0, kPageSize};
      edge_of[count++] = i == 0 ? 0 : 1;
    }
  }
  if (count == 0) {
    return {};
  }
  if (const auto read = client_->scatter(Operation::read, count, results_); !read) {
    return tl::unexpected{read.error()};
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (results_[i] != 1) {
      return tl::unexpected{ErrorKind::bad_page};
    }
    edges_[edge_of[i]] = area.pages[i];
  }
  return {};
}

} // namespace vmemfs::leechcore
