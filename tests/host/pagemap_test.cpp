// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/pagemap.h"
#include "support/forked_child.h"

#include <array>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace vmemfs {
namespace {

constexpr std::size_t kPages = 8;

/// Only page 2 is present.
ChildValues sparse_memory() {
  auto* const memory = static_cast<std::byte*>(
      ::mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::madvise(memory, kPages * kPageSize, MADV_NOHUGEPAGE);
  memory[2 * kPageSize] = std::byte{1};
  return {reinterpret_cast<std::uint64_t>(memory)};
}

TEST(Pagemap, Read_ReportsPresentPages) {
  ForkedChild child{sparse_memory};
  const auto space = child.space();
  const Pagemap pagemap{*space};
  std::array<std::uint64_t, kPages> entries{};
  ASSERT_EQ(pagemap.read(child.value(0) + 5, entries), kPages);
  for (std::size_t i = 0; i < kPages; ++i) {
    EXPECT_EQ(Pagemap::is_there(entries[i]), i == 2) << i;
  }
  child.kill();
  EXPECT_EQ(pagemap.read(child.value(0), entries), 0U);
}

TEST(Pagemap, Scan_AgreesWithRead) {
  const ForkedChild child{sparse_memory};
  const auto space = child.space();
  const Pagemap pagemap{*space};
  EXPECT_FALSE(pagemap.any_huge_page(child.value(0), 2 * kPageSize));
  EXPECT_FALSE(pagemap.any_huge_page(child.value(0) + 3 * kPageSize, 5 * kPageSize));
  if (!pagemap.any_huge_page(child.value(0), kPages * kPageSize)) {
    GTEST_SKIP() << "this kernel is older than Linux 6.7";
  }
  EXPECT_TRUE(pagemap.any_huge_page(child.value(0) + 2 * kPageSize + 7, 1));
}

} // namespace
} // namespace vmemfs
