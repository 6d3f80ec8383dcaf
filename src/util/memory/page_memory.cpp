// SPDX-License-Identifier: MIT
#include "util/memory/page_memory.h"

#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace vmemfs {
namespace {

constexpr std::size_t kPage = 4096;

std::size_t to_pages(std::size_t size) { return (size + kPage - 1) & ~(kPage - 1); }

/// The kernel chooses a place by itself; from a larger one the ends are given back.
std::byte* map_at_huge_page(std::size_t size) {
  const std::size_t room = size + PageMemory::kHugePage;
  void* const mapped = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::bad_alloc{};
  }
  auto* const begin = static_cast<std::byte*>(mapped);
  const std::size_t lead = (0 - reinterpret_cast<std::uintptr_t>(begin)) & (PageMemory::kHugePage - 1);
  if (lead > 0) {
    ::munmap(begin, lead);
  }
  ::munmap(begin + lead + size, room - lead - size);
  ::madvise(begin + lead, size, MADV_HUGEPAGE); // refused by a kernel without huge pages
  return begin + lead;
}

std::byte* map_pages(std::size_t size) {
  void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::bad_alloc{};
  }
  return static_cast<std::byte*>(mapped);
}

} // namespace

PageMemory::PageMemory(std::size_t size)
    : bytes_{size < kHugePage ? map_pages(size) : map_at_huge_page(to_pages(size)), size} {}

PageMemory::~PageMemory() {
  if (!bytes_.empty()) {
    ::munmap(bytes_.data(), bytes_.size());
  }
}

} // namespace vmemfs
