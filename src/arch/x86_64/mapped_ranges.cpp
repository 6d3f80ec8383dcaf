// SPDX-License-Identifier: MIT
#include "arch/x86_64/mapped_ranges.h"

#include "arch/x86_64/paging_format.h"

namespace vmemfs::x86_64 {
namespace {

/// The format of a mode with page tables.
class TableFormat final : public PageTableFormat {
public:
  explicit TableFormat(const Paging& paging) : paging_{paging} {}

  unsigned entry_bytes() const override { return format_.entry_bytes; }
  unsigned levels() const override { return static_cast<unsigned>(format_.levels.size()); }
  TableLevel level(unsigned depth) const override {
    return {format_.levels[depth].shift, format_.levels[depth].index_bits};
  }
  std::uint64_t canonical(std::uint64_t address) const override { return format_.canonical(address); }
  EntryKind kind_of(unsigned depth, std::uint64_t entry) const override {
    return x86_64::kind_of(paging_, format_.levels[depth], entry);
  }
  Gpa target(unsigned depth, std::uint64_t entry, std::uint64_t /*index*/) const override {
    const bool is_page = kind_of(depth, entry) == EntryKind::page;
    return Gpa{format_.target(entry, is_page ? format_.levels[depth].shift : kPageShift)};
  }
  void restrict_rights(PageRights& rights, unsigned depth, std::uint64_t entry) const override {
    x86_64::restrict_rights(rights, format_.levels[depth], entry);
  }

private:
  const Paging paging_;
  const Format format_ = format_of(paging_.mode);
};

} // namespace

std::vector<MappedRange> list_mapped(const Paging& paging, const ReadTable& read, const ListLimits& limits) {
  if (paging.mode == PagingMode::none) {
    return {{0, k4GiB - 1, true, {}, Gpa{0}}};
  }
  return vmemfs::list_mapped(TableFormat{paging}, paging.root, read, limits);
}

} // namespace vmemfs::x86_64
