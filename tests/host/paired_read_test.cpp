#include "core/gpa.h"
#include "host/host_memory.h"
#include "host/paired_read.h"
#include "support/forked_child.h"

#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::size_t kSize = std::size_t{4} << 20U;
constexpr std::size_t kMissing = std::size_t{1} << 20U; ///< where one page is not mapped

std::uint64_t word_at(std::size_t offset) { return (offset + 1) * 0x9e3779b97f4a7c15U; }

/// 4 MiB of words that follow from their place; `missing`: without one page.
ChildValues numbered(bool missing) {
  auto* const memory = static_cast<std::uint64_t*>(
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < kSize / 8; ++i) {
    memory[i] = word_at(i * 8);
  }
  if (missing) {
    ::munmap(memory + kMissing / 8, kPageSize);
  }
  return {reinterpret_cast<std::uint64_t>(memory)};
}

bool is_numbered(std::span<const std::byte> bytes, std::size_t offset) {
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof(word));
    if (word != word_at(offset + i)) {
      return false;
    }
  }
  return true;
}

TEST(PairedReader, ReadsExactlyAlsoForManyAtOnce) {
  const ForkedChild child{[] { return numbered(false); }};
  PairedReader reader;
  std::atomic<int> done{0};
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::byte> buffer;
      for (std::size_t i = 0; i < 200; ++i) {
        const std::size_t offset = (t * 7919 + i * 4096) % (kSize / 2);
        const std::size_t size = PairedReader::kWorthIt + i * 1000 % (kSize / 4);
        buffer.assign(size, std::byte{0});
        if (reader.read(child.pid(), child.value(0) + offset / 8 * 8, buffer)) {
          ASSERT_TRUE(is_numbered(buffer, offset / 8 * 8));
          ++done;
        }
      }
    });
  }
  threads.clear();
  EXPECT_TRUE(done > 0 || std::thread::hardware_concurrency() < 2);
}

TEST(PairedReader, SaysWhenNotAllCouldBeRead) {
  const ForkedChild child{[] { return numbered(true); }};
  PairedReader reader;
  std::vector<std::byte> buffer(PairedReader::kWorthIt);
  for (const std::size_t offset : {kMissing - buffer.size() + 8, kMissing - 4096, kMissing, kMissing + 8}) {
    EXPECT_FALSE(reader.read(child.pid(), child.value(0) + offset, buffer)) << offset;
  }
}

TEST(PairedReader, ALargeReadThatFailsInItsMiddleIsToldExactly) {
  const ForkedChild child{[] { return numbered(true); }};
  // One mapping when it is opened, so that the hole is met while reading.
  const ForkedChild whole{[] { return numbered(false); }};
  for (const ForkedChild* const process : {&child, &whole}) {
    const HvaRange range{process->value(0), process->value(0) + kSize};
    const auto memory = HostMemory::open(process->process(), {&range, 1});
    ASSERT_TRUE(memory);
    std::vector<std::byte> buffer(std::size_t{1} << 20U);
    HostPiece piece{process->value(0) + kMissing - buffer.size() / 2, buffer};
    (*memory)->read({&piece, 1});
    const std::size_t expected = process == &child ? buffer.size() / 2 : buffer.size();
    EXPECT_EQ(piece.done, expected);
    EXPECT_EQ(piece.failure.has_value(), process == &child);
    EXPECT_TRUE(is_numbered(std::span{buffer}.first(piece.done), kMissing - buffer.size() / 2));
  }
}

} // namespace
} // namespace vmemfs
