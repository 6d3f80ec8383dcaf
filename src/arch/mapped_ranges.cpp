// SPDX-License-Identifier: MIT
#include "arch/mapped_ranges.h"

#include <array>
#include <cstring>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t low_bits(unsigned count) { return (std::uint64_t{1} << count) - 1; }

constexpr unsigned kAreaShift = 39; ///< 512 GiB: an entry of the top table with 4 levels

class Lister {
public:
  Lister(const PageTableFormat& format, const ReadTable& read, const ListLimits& limits)
      : format_{format}, read_{read}, limits_{limits}, entry_bytes_{format.entry_bytes()} {}

  std::vector<MappedRange> run(Gpa root) {
    static_cast<void>(list_table(0, root, 0, {}));
    return std::move(ranges_);
  }

private:
  /// The addresses that one entry translates.
  struct Span {
    std::uint64_t begin;
    std::uint64_t last;
  };

  [[nodiscard]] std::uint64_t entry_at(unsigned depth, std::size_t index) const {
    std::uint64_t entry = 0;
    std::memcpy(&entry, tables_[depth].data() + index * entry_bytes_, entry_bytes_);
    return entry;
  }

  /// false: the source failed to read the table, and nothing is listed.
  [[nodiscard]] bool list_table(unsigned depth, Gpa table, std::uint64_t base, PageRights above) {
    const TableLevel level = format_.level(depth);
    const std::size_t count = std::size_t{1} << level.index_bits;
    ++tables_read_;
    ++area_tables_;
    is_late_ = std::chrono::steady_clock::now() >= end_;
    const TableRead read = read_(table, std::span{tables_[depth]}.first(count * entry_bytes_));
    if (read != TableRead::done) {
      return read == TableRead::absent;
    }
    for (std::size_t index = 0; index < count; ++index) {
      if (depth == 0 && index == count / 2) {
        begin_half();
      }
      const std::uint64_t entry = entry_at(depth, index);
      const EntryKind kind = format_.kind_of(depth, entry);
      if (kind == EntryKind::absent) {
        continue;
      }
      const std::uint64_t begin = format_.canonical(base | (std::uint64_t{index} << level.shift));
      const Span span{begin, begin | low_bits(level.shift)};
      if (level.shift >= kAreaShift) {
        area_tables_ = 0;
        area_ranges_ = 0;
      }
      if (is_enough()) {
        skip(span);
        continue;
      }
      PageRights rights = above;
      format_.restrict_rights(rights, depth, entry);
      const Gpa target = format_.target(depth, entry, index);
      if (kind == EntryKind::page) {
        add(span, rights, target);
      } else if (!list_table(depth + 1, target, begin, rights)) {
        add_unknown(span);
      }
    }
    return true;
  }

  void begin_half() {
    tables_read_ = 0;
    ranges_before_ = ranges_.size();
    area_tables_ = 0;
    area_ranges_ = 0;
    const auto now = std::chrono::steady_clock::now();
    end_ = now + limits_.time / 2;
    is_late_ = now >= end_;
  }

  [[nodiscard]] bool is_enough() const {
    return area_tables_ >= limits_.area_tables || area_ranges_ >= limits_.area_ranges ||
           tables_read_ >= limits_.tables / 2 || ranges_.size() - ranges_before_ >= limits_.ranges / 2 ||
           is_late_;
  }

  /// Whether the addresses follow the last range without a gap.
  [[nodiscard]] bool continues(const Span& span) const {
    return !ranges_.empty() && ranges_.back().last + 1 == span.begin && span.begin != 0;
  }

  void add(const Span& span, PageRights rights, Gpa gpa) {
    if (continues(span) && ranges_.back().mapped && ranges_.back().rights == rights) {
      MappedRange& range = ranges_.back();
      if (range.gpa && *range.gpa + (span.begin - range.begin) != gpa) {
        range.gpa.reset();
      }
      range.last = span.last;
      return;
    }
    ++area_ranges_;
    ranges_.push_back({span.begin, span.last, true, rights, gpa});
  }

  void add_unknown(const Span& span) {
    if (continues(span) && !ranges_.back().mapped) {
      ranges_.back().last = span.last;
      return;
    }
    ++area_ranges_;
    ranges_.push_back({span.begin, span.last, false});
  }

  /// Entries between two that are left out may be absent: nobody knows any more.
  void skip(const Span& span) {
    if (!ranges_.empty() && !ranges_.back().mapped &&
        ranges_.back().begin >> kAreaShift == span.begin >> kAreaShift) {
      ranges_.back().last = span.last;
    } else {
      ranges_.push_back({span.begin, span.last, false});
    }
  }

  const PageTableFormat& format_;
  const ReadTable& read_;
  const ListLimits limits_;
  const std::size_t entry_bytes_;
  std::chrono::steady_clock::time_point end_ =
      std::chrono::steady_clock::now() + limits_.time / 2; ///< of the half
  std::array<std::array<std::byte, kPageSize>, PageTableFormat::kMaxLevels> tables_{};
  std::vector<MappedRange> ranges_;
  std::size_t ranges_before_ = 0; ///< of the lower half
  unsigned tables_read_ = 0;      ///< for the half
  unsigned area_tables_ = 0;
  unsigned area_ranges_ = 0;
  bool is_late_ = false;
};

} // namespace

std::vector<MappedRange> list_mapped(const PageTableFormat& format, Gpa root, const ReadTable& read,
                                     const ListLimits& limits) {
  return Lister{format, read, limits}.run(root);
}

} // namespace vmemfs
