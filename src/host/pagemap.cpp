// SPDX-License-Identifier: MIT
#include "host/pagemap.h"

#include "core/gpa.h"

#include <cerrno>
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
constexpr std::uint64_t kPresentOrSwapped = 1U << 3 | 1U << 4;
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanRequest);

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

} // namespace vmemfs
