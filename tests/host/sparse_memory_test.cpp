// SPDX-License-Identifier: MIT
// Memory that the host does not hold: what a child has not touched, found without touching it.
#include "core/gpa.h"
#include "host/host_memory.h"
#include "host/pagemap.h"
#include "host/process_memory.h"
#include "support/forked_child.h"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::size_t kMiB = 1 << 20;
constexpr std::size_t kSize = 64 * kMiB;
constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

std::byte* map(int flags, int fd = -1) {
  void* const memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, flags, fd, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
}

void touch(std::byte* memory, std::initializer_list<std::size_t> pages) {
  for (const std::size_t page : pages) {
    memory[page * kPageSize + 7] = std::byte{1};
  }
}

std::byte* private_memory(std::initializer_list<std::size_t> pages) {
  std::byte* const memory = map(kPrivate);
  ::madvise(memory, kSize, MADV_NOHUGEPAGE);
  touch(memory, pages);
  return memory;
}

std::uint64_t address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

std::shared_ptr<HostMemory> open(const ForkedChild& child) {
  const HvaRange range{child.value(0), child.value(0) + kSize};
  return HostMemory::open(child.space(), {&range, 1}).value();
}

/// Numbers of the pages that `find` reports as held, found as lseek() does it.
template <typename Find> std::vector<std::size_t> held_pages(Hva begin, const Find& find) {
  std::vector<std::size_t> pages;
  HvaRange rest{begin, begin + kSize};
  while (!rest.empty()) {
    const Hva before = rest.begin;
    rest.begin += find(rest, MemoryUse::held).before;
    if (rest.empty()) {
      break;
    }
    for (const Hva end = rest.begin + find(rest, MemoryUse::sparse).before; rest.begin < end;
         rest.begin += kPageSize) {
      pages.push_back((rest.begin - begin) / kPageSize);
    }
    if (rest.begin == before) {
      ADD_FAILURE() << "no progress at page " << (rest.begin - begin) / kPageSize;
      break;
    }
  }
  return pages;
}

std::vector<std::size_t> held_pages(const ForkedChild& child, const HostMemory& memory) {
  return held_pages(child.value(0),
                    [&](const HvaRange& range, MemoryUse wanted) { return memory.find(range, wanted); });
}

void read_all(const ForkedChild& child, const HostMemory& memory) {
  std::vector<std::byte> buffer(kMiB);
  for (std::size_t at = 0; at < kSize; at += kMiB) {
    HostPiece piece{child.value(0) + at, buffer};
    memory.read({&piece, 1});
    EXPECT_FALSE(piece.failure);
  }
}

/// A file with data in pages 2 and 5, mapped shared.
std::byte* shared_file(int fd) {
  if (fd < 0 || ::ftruncate(fd, kSize) != 0) {
    return nullptr;
  }
  std::byte* const memory = map(MAP_SHARED, fd);
  touch(memory, {2, 5});
  return memory;
}

int unnamed_file(const char* directory) { return ::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); }

TEST(SparseMemory, PrivateMemory_TouchedPagesAreHeld_AlsoLaterOnes) {
  std::byte* memory = nullptr;
  ForkedChild child{[&] {
                      memory = private_memory({0, 5, 6, 100, kSize / kPageSize - 1});
                      return ChildValues{address(memory)};
                    },
                    [&] { touch(memory, {50}); }};
  const auto host = open(child);
  EXPECT_THAT(held_pages(child, *host), ElementsAre(0, 5, 6, 100, kSize / kPageSize - 1));
  child.proceed();
  EXPECT_THAT(held_pages(child, *host), ElementsAre(0, 5, 6, 50, 100, kSize / kPageSize - 1));
}

TEST(SparseMemory, PrivateMemory_ReadingItAll_LeavesItSparse) {
  const ForkedChild child{[] { return ChildValues{address(private_memory({5}))}; }};
  const auto host = open(child);
  const auto before = child.status_kib("VmRSS");
  read_all(child, *host);
  EXPECT_LE(child.status_kib("VmRSS"), before + 256);
  const auto space = child.space();
  const Pagemap pagemap{*space};
  if (!pagemap.any_huge_page(child.value(0) + 5 * kPageSize, 1)) {
    GTEST_SKIP() << "this kernel is older than Linux 6.7";
  }
  EXPECT_THAT(held_pages(child, *host), ElementsAre(5));
}

TEST(SparseMemory, PrivateMemory_WithoutScan_TouchedPagesAreHeld) {
  const ForkedChild child{[] { return ChildValues{address(private_memory({0, 5, 6, 100, 8192}))}; }};
  const auto space = child.space();
  const Pagemap pagemap{*space};
  EXPECT_THAT(
      held_pages(child.value(0), [&](const HvaRange& range,
                                     MemoryUse wanted) { return pagemap.find_by_reading(range, wanted); }),
      ElementsAre(0, 5, 6, 100, 8192));
}

TEST(SparseMemory, Find_InsideAPage_CountsFromThere) {
  const ForkedChild child{[] { return ChildValues{address(private_memory({1}))}; }};
  const auto host = open(child);
  const HvaRange range{child.value(0) + 100, child.value(0) + kPageSize + 100};
  EXPECT_EQ(host->find(range, MemoryUse::held), (UseSearch{kPageSize - 100, true}));
  EXPECT_EQ(host->find(range, MemoryUse::sparse), (UseSearch{0, true}));
  const HvaRange inside{child.value(0) + kPageSize + 100, child.value(0) + 2 * kPageSize + 100};
  EXPECT_EQ(host->find(inside, MemoryUse::held), (UseSearch{0, true}));
  EXPECT_EQ(host->find(inside, MemoryUse::sparse), (UseSearch{kPageSize - 100, true}));
}

TEST(SparseMemory, HugePage_IsHeldAsAWhole) {
  const ForkedChild child{[] {
    std::byte* const memory = map(kPrivate);
    ::madvise(memory, kSize, MADV_HUGEPAGE);
    touch(memory, {4000});
    return ChildValues{address(memory)};
  }};
  const auto held = held_pages(child, *open(child));
  EXPECT_TRUE(std::ranges::binary_search(held, 4000));
  EXPECT_LE(held.size(), 512U);
}

TEST(SparseMemory, UnmappedPages_AreNotSparse) {
  std::byte* memory = nullptr;
  ForkedChild child{[&] {
                      memory = private_memory({});
                      return ChildValues{address(memory)};
                    },
                    [&] { ::munmap(memory + 8 * kPageSize, 2 * kPageSize); }};
  const auto host = open(child);
  EXPECT_THAT(held_pages(child, *host), IsEmpty());
  child.proceed();
  const auto space = child.space();
  const HvaRange range{child.value(0), child.value(0) + kSize};
  if (Pagemap{*space}.find(range, MemoryUse::held) ==
      Pagemap{*space}.find_by_reading(range, MemoryUse::held)) {
    GTEST_SKIP() << "this kernel is older than Linux 6.7";
  }
  EXPECT_THAT(held_pages(child, *host), ElementsAre(8, 9));
}

TEST(SparseMemory, PrivateMappingOfAFile_IsHeld) {
  const ForkedChild child{[] {
    const int fd = unnamed_file("/dev/shm");
    shared_file(fd);
    return ChildValues{address(map(MAP_PRIVATE, fd))};
  }};
  EXPECT_EQ(held_pages(child, *open(child)).size(), kSize / kPageSize);
}

class SparseFile : public testing::TestWithParam<std::string> {
protected:
  static int create() {
    return GetParam() == "memfd" ? ::memfd_create("ram", 0) : unnamed_file(GetParam().c_str());
  }
};

TEST_P(SparseFile, SharedMapping_WrittenPagesAreHeld_AlsoLaterOnes) {
  std::byte* memory = nullptr;
  ForkedChild child{[&] {
                      memory = shared_file(create());
                      return ChildValues{address(memory)};
                    },
                    [&] { touch(memory, {9}); }};
  if (child.value(0) == 0) {
    GTEST_SKIP() << "no unnamed file can be created there";
  }
  const auto host = open(child);
  EXPECT_THAT(held_pages(child, *host), ElementsAre(2, 5));
  const HvaRange range{child.value(0), child.value(0) + kSize};
  EXPECT_EQ(host->held_bytes({&range, 1}), 2 * kPageSize);
  read_all(child, *host);
  EXPECT_THAT(held_pages(child, *host), ElementsAre(2, 5));
  child.proceed();
  EXPECT_THAT(held_pages(child, *host), ElementsAre(2, 5, 9));
}

INSTANTIATE_TEST_SUITE_P(Files, SparseFile, testing::Values("memfd", "/dev/shm", "/var/tmp"),
                         [](const auto& file) {
                           std::string name = file.param;
                           std::erase(name, '/');
                           return name;
                         });

TEST(SparseMemory, PastTheEndOfTheFile_IsHeld) {
  int fd = -1;
  ForkedChild child{[&] {
                      fd = ::memfd_create("ram", 0);
                      return ChildValues{address(shared_file(fd))};
                    },
                    [&] { static_cast<void>(::ftruncate(fd, kSize - 3 * kPageSize)); }};
  const auto host = open(child);
  child.proceed();
  constexpr std::size_t kPages = kSize / kPageSize;
  EXPECT_THAT(held_pages(child, *host), ElementsAre(2, 5, kPages - 3, kPages - 2, kPages - 1));
}

TEST(SparseMemory, ProcessEnded_IsHeld) {
  ForkedChild child{[] { return ChildValues{address(private_memory({}))}; }};
  const auto host = open(child);
  EXPECT_THAT(held_pages(child, *host), IsEmpty());
  child.kill();
  EXPECT_EQ(held_pages(child, *host).size(), kSize / kPageSize);
}

/// Its handler has the content of absent pages. The memory was opened before.
TEST(SparseMemory, UserfaultfdOpenedLater_IsHeld) {
  int userfaultfd = -1;
  ForkedChild child{[] { return ChildValues{address(private_memory({}))}; },
                    [&] { userfaultfd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)); }};
  const int allowed = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
  if (allowed < 0) {
    GTEST_SKIP() << "userfaultfd is not allowed here; run as root";
  }
  ::close(allowed);
  const auto host = open(child);
  EXPECT_THAT(held_pages(child, *host), IsEmpty());
  child.proceed();
  ::usleep(100'000);
  EXPECT_EQ(held_pages(child, *host).size(), kSize / kPageSize);
}

TEST(SparseMemory, HeldBytes_OfPrivateMemory_FollowsWhatIsTouched) {
  std::byte* memory = nullptr;
  ForkedChild child{[&] {
                      memory = private_memory({});
                      return ChildValues{address(memory)};
                    },
                    [&] { std::fill_n(memory, 32 * kMiB, std::byte{1}); }};
  const auto host = open(child);
  const HvaRange range{child.value(0), child.value(0) + kSize};
  const std::uint64_t before = host->held_bytes({&range, 1});
  if (before == kSize) {
    GTEST_SKIP() << "this program needs as much for itself; run it without a sanitizer";
  }
  EXPECT_LT(before, 32 * kMiB);
  child.proceed();
  const std::uint64_t after = host->held_bytes({&range, 1});
  EXPECT_GE(after, before + 31 * kMiB);
  EXPECT_LE(after, kSize);
  child.kill();
  EXPECT_EQ(host->held_bytes({&range, 1}), kSize);
}

} // namespace
} // namespace vmemfs
