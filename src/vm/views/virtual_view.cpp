// SPDX-License-Identifier: MIT
#include "vm/views/virtual_view.h"

#include "core/gpa.h"
#include "vm/memory/address_space.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::uint64_t kEnd = std::uint64_t{1} << 63U; ///< of all offsets

/// The guest has no memory there, or none that can be read.
bool is_absent(ErrorKind failure) { return failure == ErrorKind::hole || failure == ErrorKind::bad_page; }

/// Pages of page tables, each read once for one read of the view: a range of AddressSpace::kMaxRead bytes has
/// at most two tables of each level.
class TableReader {
public:
  explicit TableReader(AddressSpace& memory) : memory_{memory} {}

  std::optional<std::uint64_t> operator()(Gpa gpa) {
    const Table& table = table_at(gpa.page_start());
    std::uint64_t entry = 0;
    if (gpa.page_offset() + sizeof entry > table.size) {
      return std::nullopt;
    }
    std::memcpy(&entry, table.bytes.data() + gpa.page_offset(), sizeof entry);
    return entry;
  }

  /// The failure of a source that could not read a table; a hole or a bad page is none.
  [[nodiscard]] std::optional<ErrorKind> failure() const { return failure_; }

private:
  static constexpr std::size_t kMaxTables = 10;

  struct Table {
    Gpa begin;
    std::size_t size;                       ///< that could be read
    std::array<std::byte, kPageSize> bytes; ///< only these are set
  };

  const Table& table_at(Gpa begin) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (tables_[i].begin == begin) {
        return tables_[i];
      }
    }
    Table& table = tables_[next_];
    next_ = (next_ + 1) % kMaxTables;
    count_ = std::max(count_, next_ == 0 ? kMaxTables : next_);
    ReadPiece piece{begin, table.bytes, 0, std::nullopt};
    memory_.copy({&piece, 1});
    if (piece.failure && !is_absent(*piece.failure)) {
      failure_ = piece.failure;
    }
    table.begin = begin;
    table.size = piece.done;
    return table;
  }

  AddressSpace& memory_;
  std::size_t count_ = 0;
  std::size_t next_ = 0;
  std::optional<ErrorKind> failure_;
  std::array<Table, kMaxTables> tables_; // not set: a read needs few of them
};

/// The physical ranges of [offset, end), up to the first address that is not mapped. Adjacent ones are one.
void collect_ranges(const VirtualPaging& paging, std::uint64_t offset, std::uint64_t end,
                    const ReadEntry& read, std::vector<GpaRange>& ranges) {
  while (offset < end) {
    const auto mapped = translate(paging, virtual_address(offset), read);
    if (!mapped) {
      return;
    }
    const std::uint64_t size = std::min(mapped->left, end - offset);
    const GpaRange range{mapped->gpa, mapped->gpa + size};
    if (!ranges.empty() && ranges.back().end == range.begin) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
    offset += size;
  }
}

/// Of all failures of memory only these differ to a reader.
ErrorKind reported(ErrorKind failure) {
  if (failure == ErrorKind::vm_gone) {
    return failure;
  }
  return is_absent(failure) ? ErrorKind::hole : ErrorKind::source_failed;
}

} // namespace

Result<void> VirtualView::check(Guest& guest) {
  const RegisterLayout* const layout = guest.register_layout();
  if (layout == nullptr) {
    return fail(
        ErrorKind::unsupported, "virt",
        fmt::format("cannot translate virtual addresses without registers: {}", guest.access().registers));
  }
  if (!has_known_paging(*layout)) {
    return fail(
        ErrorKind::unsupported, "virt",
        fmt::format("cannot translate virtual addresses of {}: only those of x86 and riscv64 are known",
                    layout->architecture));
  }
  return {};
}

tl::expected<std::size_t, ErrorKind> VirtualView::read(std::uint64_t offset, std::size_t size,
                                                       ReadScratch& scratch) {
  AddressSpace& memory = guest_.memory();
  const auto now = paging();
  if (!now) {
    return tl::unexpected{now.error().kind};
  }
  // Checks that the guest still exists, and has a changed memory map adopted before tables are read.
  if (const auto exists = memory.read({}, HolePolicy::honest, scratch, nullptr); !exists) {
    return exists;
  }
  TableReader tables{memory};
  const ReadEntry read_entry{std::ref(tables)};
  std::vector<GpaRange>& ranges = scratch.ranges();
  ranges.clear();
  const std::uint64_t room = kEnd - std::min(offset, kEnd);
  const std::uint64_t wanted = std::min<std::uint64_t>({size, AddressSpace::kMaxRead, room});
  collect_ranges(*now, offset, offset + wanted, read_entry, ranges);
  if (ranges.empty()) {
    return tl::unexpected{reported(tables.failure().value_or(ErrorKind::hole))};
  }
  const auto bytes = memory.read(ranges, HolePolicy::honest, scratch, nullptr);
  if (bytes == std::size_t{0}) { // beyond main memory
    return tl::unexpected{ErrorKind::hole};
  }
  return bytes.map_error(reported);
}

Result<VirtualPaging> VirtualView::paging() {
  const auto epoch = guest_.stable_epoch();
  if (!epoch || !guest_.vcpus().contains(vcpu_)) {
    return read_paging();
  }
  {
    const MutexLock lock{mutex_};
    if (known_ && known_->epoch == *epoch) {
      return known_->paging;
    }
  }
  auto paging = read_paging();
  if (paging) { // valid only in the epoch that was loaded before
    const MutexLock lock{mutex_};
    known_ = Known{*epoch, *paging};
  }
  return paging;
}

Result<VirtualPaging> VirtualView::read_paging() {
  const auto registers = guest_.read_registers({&vcpu_, 1});
  if (!registers) {
    return tl::unexpected{registers.error()};
  }
  return virtual_paging_of(registers->front());
}

Result<std::vector<MappedRange>> VirtualView::mapped_ranges(const ListLimits& limits) {
  const auto now = paging();
  if (!now) {
    return tl::unexpected{now.error()};
  }
  std::optional<ErrorKind> fatal; // of the root, without which there is no list, or vm_gone
  bool is_root = true;
  const ReadTable read_table = [&](Gpa table, std::span<std::byte> bytes) {
    ReadPiece piece{table, bytes, 0, std::nullopt};
    guest_.memory().copy({&piece, 1});
    const bool was_root = std::exchange(is_root, false);
    if (!piece.failure) {
      return TableRead::done;
    }
    if (is_absent(*piece.failure)) {
      return TableRead::absent;
    }
    if (was_root || piece.failure == ErrorKind::vm_gone) {
      fatal = piece.failure;
    }
    return TableRead::failed;
  };
  guest_.memory().poll_layout();
  auto ranges = list_mapped(*now, read_table, limits);
  if (fatal || guest_.gone()) {
    return fail(fatal.value_or(ErrorKind::vm_gone), "virt", "cannot read page tables");
  }
  return ranges;
}

} // namespace vmemfs
