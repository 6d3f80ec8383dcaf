// SPDX-License-Identifier: MIT
#include "util/memory/page_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <iterator>
#include <new>
#include <utility>

namespace vmemfs {
namespace {

TEST(PageMemory, AnySize_IsThereAndZero) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, PageMemory::kHugePage - 1,
                                 PageMemory::kHugePage, 2 * PageMemory::kHugePage + 12345}) {
    const PageMemory memory{size};
    ASSERT_EQ(memory.bytes().size(), size);
    EXPECT_EQ(std::ranges::count(memory.bytes(), std::byte{0}), std::ssize(memory.bytes()));
    std::ranges::fill(memory.bytes(), std::byte{1});
    const std::size_t aligned = size < PageMemory::kHugePage ? 4096 : PageMemory::kHugePage;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % aligned, 0U) << size;
  }
}

TEST(PageMemory, Moved_TheBytesStayWhereTheyAre) {
  PageMemory memory{PageMemory::kHugePage};
  const auto bytes = memory.bytes();
  bytes.back() = std::byte{7};
  PageMemory other;
  EXPECT_TRUE(other.bytes().empty());
  other = std::move(memory);
  const PageMemory last{std::move(other)};
  EXPECT_EQ(last.bytes().data(), bytes.data());
  EXPECT_EQ(last.bytes().back(), std::byte{7});
}

TEST(PageMemory, TooLarge_Throws) {
  constexpr std::size_t kTooLarge = std::size_t{1} << 60U;
  EXPECT_THROW(PageMemory{kTooLarge}, std::bad_alloc);
}

} // namespace
} // namespace vmemfs
