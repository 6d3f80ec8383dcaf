// SPDX-License-Identifier: MIT
#include "host/pagemap.h"

#include "core/gpa.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <sys/ioctl.h>
#include <unistd.h>

namespace vmemfs {
namespace {

// PAGEMAP_SCAN of <linux/fs.h>, which Debian 12's headers don't have yet.
struct PageRegion {
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t categories;
};
struct ScanRequest {
  std::uint64_t struct_size;
  std::uint64_t flags;
  std::uint64_t begin;
  std::uint64_t end;
  std::uint64_t walked_to;
  std::uint64_t regions;
  std::uint64_t region_count;
  std::uint64_t max_pages;
  std::uint64_t inverted;
  std::uint64_t all_of;
  std::uint64_t any_of;
  std::uint64_t wanted;
};
constexpr std::uint64_t kPresent = 1U << 3;
constexpr std::uint64_t kSwapped = 1U << 4;
constexpr std::uint64_t kZeroPage = 1U << 5;
constexpr std::uint64_t kPresentOrSwapped = kPresent | kSwapped;
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanRequest);

/// Max size of one search: the kernel holds the process's lock of its mappings meanwhile.
constexpr std::uint64_t kMaxSearch = std::uint64_t{1} << 30U;

/// Searches [begin, end), both multiples of the page size, for pages that are mapped, not swapped out, and
/// not present or the page of zeros. The first stretch of such pages, an empty one if there is none, or
/// nullopt if the kernel cannot scan. With max_pages it is cut there, else the search goes on to the next
/// such stretch.
std::optional<HvaRange> scan_for_sparse(int fd, Hva begin, Hva end, std::uint64_t max_pages) {
  PageRegion found{};
  ScanRequest request{};
  request.struct_size = sizeof request;
  request.begin = begin;
  request.end = end;
  request.regions = reinterpret_cast<std::uint64_t>(&found);
  request.region_count = 1;
  request.max_pages = max_pages;
  request.inverted = kPresentOrSwapped;
  request.all_of = kSwapped;
  request.any_of = kPresent | kZeroPage;
  const int count = ::ioctl(fd, kPagemapScan, &request);
  if (count < 0) {
    return std::nullopt;
  }
  return count > 0 ? HvaRange{found.begin, found.end} : HvaRange{end, end};
}

} // namespace

std::size_t Pagemap::read(Hva hva, std::span<std::uint64_t> entries) const {
  constexpr std::size_t kEntry = sizeof(std::uint64_t);
  const auto offset = static_cast<off_t>((hva >> kPageShift) * kEntry);
  ssize_t got = 0;
  do {
    got = ::pread(fd_, entries.data(), entries.size_bytes(), offset);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? 0 : static_cast<std::size_t>(got) / kEntry;
}

bool Pagemap::any_huge_page(Hva begin, std::size_t size) const {
  PageRegion found{};
  ScanRequest request{};
  request.struct_size = sizeof request;
  request.begin = begin & ~(kPageSize - 1);
  request.end = (begin + size + kPageSize - 1) & ~(kPageSize - 1);
  request.regions = reinterpret_cast<std::uint64_t>(&found);
  request.region_count = 1;
  request.any_of = kPresentOrSwapped;
  request.wanted = kPresentOrSwapped;
  return ::ioctl(fd_, kPagemapScan, &request) > 0;
}

UseSearch Pagemap::find(const HvaRange& range, MemoryUse wanted) const {
  const HvaRange part{range.begin, range.begin + std::min(range.size(), kMaxSearch)};
  const Hva first = part.begin & ~(kPageSize - 1);
  const Hva end = (part.end + kPageSize - 1) & ~(kPageSize - 1);
  // Data is not searched for: what is not mapped would be taken for sparse.
  auto sparse = scan_for_sparse(fd_, first, wanted == MemoryUse::held ? first + kPageSize : end, 1);
  if (!sparse) {
    return find_by_reading(part, wanted);
  }
  const bool found = sparse->begin < sparse->end;
  if (wanted == MemoryUse::sparse) {
    return found ? UseSearch{sparse->begin > part.begin ? sparse->begin - part.begin : 0, true}
                 : UseSearch{part.size(), false};
  }
  if (found) {
    sparse = scan_for_sparse(fd_, first, end, 0);
  }
  if (!found || !sparse || sparse->begin != first) {
    return {0, true};
  }
  return {std::min(sparse->end, part.end) - part.begin, sparse->end < part.end};
}

UseSearch Pagemap::find_by_reading(const HvaRange& range, MemoryUse wanted) const {
  std::array<std::uint64_t, 4096> entries;
  const Hva first = range.begin & ~(kPageSize - 1);
  const std::size_t pages =
      std::min<std::uint64_t>((range.end - first + kPageSize - 1) >> kPageShift, entries.size());
  const std::size_t got = read(first, std::span{entries}.first(pages));
  if (got == 0) {
    return all_held(range.size(), wanted);
  }
  const auto present = std::span{entries}.first(got);
  const auto match = std::ranges::find(present, wanted == MemoryUse::held, is_there);
  const auto index = static_cast<std::uint64_t>(match - present.begin());
  const Hva page = std::min(first + index * kPageSize, range.end);
  return {page > range.begin ? page - range.begin : 0, index < got};
}

} // namespace vmemfs
