// SPDX-License-Identifier: MIT
#include "vmm/guest_memory.h"

#include "host/process_memory.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// Collects host pieces and submits them in full batches, without allocating.
class Batch {
public:
  explicit Batch(const HostMemory& host) : host_{host} {}

  void add(ReadPiece& owner, const HostPiece& piece) {
    if (count_ == kMaxPieces) {
      flush();
    }
    owners_[count_] = &owner;
    pieces_[count_] = piece;
    ++count_;
  }

  /// A piece counts up to its first failure; bytes read after that are not reported.
  void flush() {
    host_.read(std::span{pieces_}.first(count_));
    for (std::size_t i = 0; i < count_; ++i) {
      ReadPiece& owner = *owners_[i];
      if (!owner.failure) {
        owner.done += pieces_[i].done;
        owner.failure = pieces_[i].failure;
      }
    }
    count_ = 0;
  }

private:
  static constexpr std::size_t kMaxPieces = 64;

  const HostMemory& host_;
  std::array<ReadPiece*, kMaxPieces> owners_;
  std::array<HostPiece, kMaxPieces> pieces_;
  std::size_t count_ = 0;
};

Error refused(Gpa gpa, bool is_memory) {
  return is_memory ? Error{ErrorKind::read_only, "vmm", fmt::format("{:#x} is in a ROM", gpa.value())}
                   : Error{ErrorKind::hole, "vmm", fmt::format("there is no memory at {:#x}", gpa.value())};
}

} // namespace

GuestMemory::GuestMemory(GuestLayout layout, MemoryMap map, std::vector<HvaRange> extents,
                         std::shared_ptr<const HostMemory> host)
    : layout_{std::move(layout)}, map_{std::move(map)}, extents_{std::move(extents)}, host_{std::move(host)},
      blocks_{find_blocks()} {}

Result<std::shared_ptr<const GuestMemory>>
GuestMemory::open(GuestLayout layout, std::shared_ptr<const ProcessSpace> space, const GuestMemory* before) {
  auto map = to_memory_map(layout);
  if (!map) {
    return tl::unexpected{map.error()};
  }
  auto extents = block_extents(layout);
  std::shared_ptr<const HostMemory> host;
  if (before != nullptr && before->extents_ == extents) {
    host = before->host_;
  } else {
    auto opened = HostMemory::open(std::move(space), extents);
    if (!opened) {
      return tl::unexpected{opened.error()};
    }
    host = std::move(*opened);
  }
  return std::shared_ptr<const GuestMemory>{
      new GuestMemory{std::move(layout), std::move(*map), std::move(extents), std::move(host)}};
}

/// A block has a file if all that the guest has of it is a shared mapping of one, at the same offsets.
std::vector<GuestMemory::Block> GuestMemory::find_blocks() const {
  std::vector<Block> blocks(map_.blocks().size());
  std::vector<bool> known(blocks.size());
  for (std::size_t i = 0; i < layout_.ranges.size(); ++i) {
    const LayoutRange& range = layout_.ranges[i];
    const std::uint32_t index = map_.regions()[i].block;
    Block& block = blocks[index];
    const HvaRange here{range.hva, range.hva + range.range.size()};
    auto shared = host_->shared_file(here);
    if (shared.offset != range.offset) {
      shared.file = nullptr;
    }
    if (!known[index]) {
      block = {range.block_base(), here, std::move(shared.file), shared.written_by_process};
      known[index] = true;
      continue;
    }
    block.extent.begin = std::min(block.extent.begin, here.begin);
    block.extent.end = std::max(block.extent.end, here.end);
    if (shared.file != block.file) {
      block.file = nullptr;
    }
    block.written_by_process &= shared.written_by_process;
  }
  return blocks;
}

/// Null: the map has no such region any more.
const GuestMemory::Block* GuestMemory::block_of(const Region& of) const {
  const auto stretch = map_.at(of.range.begin);
  const bool same =
      stretch.region != nullptr && stretch.region->range.begin <= of.range.begin &&
      stretch.region->block_offset + (of.range.begin - stretch.region->range.begin) == of.block_offset;
  return same ? &blocks_[stretch.region->block] : nullptr;
}

std::optional<std::uint64_t> GuestMemory::block_size(const Region& of) const {
  const Block* const block = block_of(of);
  return block != nullptr && block->file != nullptr ? std::optional{block->file->size()} : std::nullopt;
}

std::optional<std::uint64_t> GuestMemory::block_held_bytes(const Region& of) const {
  const Block* const block = block_of(of);
  return block != nullptr && block->file != nullptr ? block->file->held_bytes() : std::nullopt;
}

tl::expected<std::size_t, ErrorKind> GuestMemory::read_block(const Region& of, std::uint64_t offset,
                                                             std::span<std::byte> buffer) const {
  const Block* const block = block_of(of);
  if (block == nullptr) {
    return tl::unexpected{ErrorKind::hole};
  }
  if (block->file != nullptr) {
    const auto [done, os_errno] = block->file->read(offset, buffer);
    if (done == 0 && !buffer.empty()) { // or the file is shorter than it was
      return tl::unexpected{os_errno == 0 ? ErrorKind::source_failed : kind_of_errno(os_errno)};
    }
    return done;
  }
  const Hva begin = block->base + offset;
  if (!block->extent.contains(begin)) {
    return tl::unexpected{ErrorKind::hole};
  }
  const std::size_t size = std::min<std::uint64_t>(buffer.size(), block->extent.end - begin);
  HostPiece piece{begin, buffer.first(size)};
  host_->read({&piece, 1});
  if (piece.done == 0 && size > 0) {
    return tl::unexpected{piece.failure.value_or(ErrorKind::source_failed)};
  }
  return piece.done;
}

Result<UniqueFd> GuestMemory::open_block_file(const Region& of) const {
  const Block* const block = block_of(of);
  if (block == nullptr) {
    return fail(ErrorKind::hole, "vmm", "the guest does not have this memory any more");
  }
  if (block->file == nullptr) {
    return fail(ErrorKind::unsupported, "vmm",
                "it is no shared mapping of one file; give the VM a shared memory backend (share=on)");
  }
  // While it is passed through, the kernel has it open for writing: nobody can execute it, and whoever only
  // reads it must not have that done.
  if (!block->written_by_process) {
    return fail(ErrorKind::unsupported, "vmm", "the process of the VM does not map its file to write");
  }
  if (block->file->is_hugetlb()) { // a mapping would be of another page size
    return fail(ErrorKind::unsupported, "vmm", "its file consists of huge pages (hugetlbfs)");
  }
  return block->file->open_writable();
}

Hva GuestMemory::hva_of(const Region& region, Gpa gpa) const {
  const auto index = static_cast<std::size_t>(&region - map_.regions().data());
  return layout_.ranges[index].hva + (gpa - region.range.begin);
}

void GuestMemory::read(std::span<ReadPiece> pieces) const {
  Batch batch{*host_};
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure.reset();
    std::size_t planned = 0;
    bool hole = false;
    while (planned < piece.buffer.size() && !hole) {
      const Gpa here = piece.gpa + planned;
      const auto stretch = map_.at(here);
      hole = stretch.region == nullptr;
      if (!hole) {
        const std::size_t count =
            std::min<std::uint64_t>(stretch.range.size(), piece.buffer.size() - planned);
        batch.add(piece,
                  {hva_of(*stretch.region, here), piece.buffer.subspan(planned, count), 0, std::nullopt});
        planned += count;
      }
    }
  }
  batch.flush();
  for (ReadPiece& piece : pieces) {
    if (!piece.failure && piece.done < piece.buffer.size()) { // planned only up to a hole
      piece.failure = ErrorKind::hole;
    }
  }
}

UseSearch GuestMemory::find(const GpaRange& range, MemoryUse wanted) const {
  const auto stretch = map_.at(range.begin);
  if (stretch.region == nullptr || stretch.region->kind != RegionKind::ram) {
    return all_held(range.size(), wanted);
  }
  const Hva begin = hva_of(*stretch.region, range.begin);
  return host_->find({begin, begin + std::min(range.size(), stretch.range.size())}, wanted);
}

std::uint64_t GuestMemory::held_bytes() const {
  std::uint64_t bytes = 0;
  std::vector<HvaRange> ram;
  for (const LayoutRange& range : layout_.ranges) {
    if (range.range.begin >= map_.ram_end()) {
      break;
    }
    const std::uint64_t size = std::min(range.range.end, map_.ram_end()) - range.range.begin;
    if (range.kind == RegionKind::ram) {
      ram.push_back({range.hva, range.hva + size});
    } else {
      bytes += size;
    }
  }
  return bytes + host_->held_bytes(ram);
}

GuestMemory::Writable GuestMemory::writable(Gpa gpa, std::size_t size) const {
  Writable result;
  while (result.size < size) {
    const Gpa here = gpa + result.size;
    const auto stretch = map_.at(here);
    if (stretch.region == nullptr || !stretch.region->writable) {
      result.failure = refused(here, stretch.region != nullptr);
      break;
    }
    result.size += std::min<std::uint64_t>(stretch.range.size(), size - result.size);
  }
  return result;
}

WriteOutcome GuestMemory::write(const ProcessSpace& space, Gpa gpa, std::span<const std::byte> bytes) const {
  Writable allowed = writable(gpa, bytes.size());
  WriteOutcome outcome;
  while (outcome.done < allowed.size) {
    const Gpa here = gpa + outcome.done;
    const auto stretch = map_.at(here);
    const std::size_t count = std::min<std::uint64_t>(stretch.range.size(), allowed.size - outcome.done);
    auto written =
        write_process_memory(space, hva_of(*stretch.region, here), bytes.subspan(outcome.done, count));
    outcome.done += written.done;
    if (written.failure) {
      outcome.failure = std::move(written.failure);
      return outcome;
    }
  }
  outcome.failure = std::move(allowed.failure);
  return outcome;
}

std::span<const std::byte> GuestMemory::borrow(Gpa gpa, std::size_t size) const {
  const auto stretch = map_.at(gpa);
  if (stretch.region == nullptr || stretch.range.size() < size) {
    return {};
  }
  return host_->borrow(hva_of(*stretch.region, gpa), size);
}

} // namespace vmemfs
