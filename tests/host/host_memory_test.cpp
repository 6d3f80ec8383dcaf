// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/host_memory.h"
#include "host/proc_maps.h"
#include "support/files.h"
#include "support/forked_child.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

using testing::HasSubstr;

constexpr std::size_t kMiB = 1 << 20;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;

std::uint64_t address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

std::byte* map(std::size_t size, int flags, int fd = -1, void* at = nullptr) {
  void* const memory = ::mmap(at, size, kReadWrite, flags, fd, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
}

/// Content that differs between pages and offsets and is never zero.
std::byte pattern(std::size_t offset) {
  return static_cast<std::byte>((offset * 7 + offset / 4096 * 13) % 251 + 1);
}

void fill(std::byte* memory, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    memory[i] = pattern(i);
  }
}

bool has_pattern(std::span<const std::byte> bytes, std::size_t offset) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != pattern(offset + i)) {
      return false;
    }
  }
  return true;
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

int sparse_memfd(std::size_t size, unsigned flags = 0) {
  const int fd = ::memfd_create("guest-ram", MFD_CLOEXEC | flags);
  return fd >= 0 && ::ftruncate(fd, static_cast<off_t>(size)) == 0 ? fd : -1;
}

/// Number of blocks of the file behind a child's descriptor.
std::uint64_t blocks(const ForkedChild& child, std::uint64_t fd) {
  struct stat info {};
  EXPECT_EQ(::stat(fmt::format("/proc/{}/fd/{}", child.pid(), fd).c_str(), &info), 0);
  return static_cast<std::uint64_t>(info.st_blocks);
}

std::shared_ptr<HostMemory> open(const ForkedChild& child, Hva begin, std::size_t size) {
  const HvaRange range{begin, begin + size};
  auto memory = HostMemory::open(child.space(), {&range, 1});
  EXPECT_TRUE(memory) << memory.error().message();
  return memory ? *memory : nullptr;
}

struct Reading {
  std::vector<std::byte> bytes;
  std::size_t done;
  std::optional<ErrorKind> failure;
};

Reading read(const HostMemory& memory, Hva hva, std::size_t size) {
  Reading reading{std::vector<std::byte>(size, std::byte{0xee}), 0, {}};
  HostPiece piece{hva, reading.bytes};
  memory.read({&piece, 1});
  reading.done = piece.done;
  reading.failure = piece.failure;
  return reading;
}

/// The whole of `size` bytes, in requests of 1 MiB.
std::vector<std::byte> read_all(const HostMemory& memory, Hva hva, std::size_t size) {
  std::vector<std::byte> all;
  for (std::size_t at = 0; at < size; at += kMiB) {
    const Reading reading = read(memory, hva + at, std::min(kMiB, size - at));
    EXPECT_FALSE(reading.failure);
    all.insert(all.end(), reading.bytes.begin(), reading.bytes.end());
  }
  return all;
}

TEST(HostMemory, PrivateMemory_UnalignedAndInManyPieces_IsRead) {
  const ForkedChild child{[] {
    std::byte* const memory = map(kMiB, MAP_PRIVATE | MAP_ANONYMOUS);
    fill(memory, 0, kMiB);
    return ChildValues{address(memory)};
  }};
  const auto memory = open(child, child.value(0), kMiB);
  EXPECT_THAT(memory->describe(), HasSubstr("private memory, process_vm_readv"));
  std::vector<std::vector<std::byte>> buffers(500, std::vector<std::byte>(100));
  std::vector<HostPiece> pieces;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    pieces.push_back({child.value(0) + i * 2003, buffers[i]});
  }
  memory->read(pieces);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_FALSE(pieces[i].failure);
    EXPECT_EQ(pieces[i].done, 100U);
    EXPECT_TRUE(has_pattern(buffers[i], i * 2003)) << i;
  }
  EXPECT_TRUE(memory->borrow(child.value(0), 2 * kPageSize).empty());
}

class HolesOfPrivateMemory : public testing::TestWithParam<int> {};

TEST_P(HolesOfPrivateMemory, Read_GivesZerosAndAllocatesNothing) {
  constexpr std::size_t kSize = 64 * kMiB;
  const ForkedChild child{[] {
    std::byte* const memory = map(kSize, MAP_PRIVATE | MAP_ANONYMOUS);
    ::madvise(memory, kSize, GetParam());
    return ChildValues{address(memory)};
  }};
  const auto memory = open(child, child.value(0), kSize);
  const auto before = child.status_kib("VmRSS");
  EXPECT_TRUE(is_zero(read_all(*memory, child.value(0), kSize)));
  EXPECT_LE(child.status_kib("VmRSS"), before + 256);
}

INSTANTIATE_TEST_SUITE_P(All, HolesOfPrivateMemory, testing::Values(MADV_HUGEPAGE, MADV_NOHUGEPAGE));

TEST(HostMemory, UnmappedPage_FailsOnlyItsPiece) {
  std::byte* shared_address = nullptr;
  ForkedChild child{[&] {
                      shared_address = map(16 * kPageSize, MAP_PRIVATE | MAP_ANONYMOUS);
                      fill(shared_address, 0, 16 * kPageSize);
                      return ChildValues{address(shared_address)};
                    },
                    [&] { ::munmap(shared_address + 3 * kPageSize, kPageSize); }};
  const Hva base = child.value(0);
  const auto memory = open(child, base, 16 * kPageSize);
  child.proceed();
  std::vector<std::byte> first(6 * kPageSize);
  std::vector<std::byte> inside(100);
  std::vector<std::byte> last(5 * kPageSize);
  std::array pieces{HostPiece{base + 10, first}, HostPiece{base + 3 * kPageSize + 5, inside},
                    HostPiece{base + 4 * kPageSize, last}};
  memory->read(pieces);
  EXPECT_EQ(pieces[0].done, 3 * kPageSize - 10);
  EXPECT_EQ(pieces[0].failure, ErrorKind::source_failed);
  EXPECT_TRUE(has_pattern(std::span{first}.first(pieces[0].done), 10));
  EXPECT_EQ(pieces[1].done, 0U);
  EXPECT_EQ(pieces[1].failure, ErrorKind::source_failed);
  EXPECT_FALSE(pieces[2].failure);
  EXPECT_TRUE(has_pattern(last, 4 * kPageSize));
}

/// A sparse memfd with data in its pages 2 and 3, mapped shared.
ChildValues shared_memfd() {
  const int fd = sparse_memfd(16 * kMiB);
  std::byte* const memory = map(16 * kMiB, MAP_SHARED, fd);
  fill(memory, 2 * kPageSize, 4 * kPageSize);
  return {address(memory), static_cast<std::uint64_t>(fd)};
}

TEST(HostMemory, SharedMemfd_ReadAndBorrowed_DoesNotGrow) {
  const ForkedChild child{shared_memfd};
  const auto memory = open(child, child.value(0), 16 * kMiB);
  EXPECT_THAT(memory->describe(), HasSubstr("shared file /memfd:guest-ram (deleted), mapped"));
  const auto before = blocks(child, child.value(1));
  const auto all = read_all(*memory, child.value(0), 16 * kMiB);
  EXPECT_TRUE(has_pattern(std::span{all}.subspan(2 * kPageSize, 2 * kPageSize), 2 * kPageSize));
  EXPECT_TRUE(is_zero(std::span{all}.first(2 * kPageSize)));
  EXPECT_TRUE(is_zero(std::span{all}.subspan(4 * kPageSize)));

  const Hva data = child.value(0) + 2 * kPageSize;
  const auto borrowed = memory->borrow(data + 100, 2 * kPageSize - 100);
  ASSERT_EQ(borrowed.size(), 2 * kPageSize - 100);
  EXPECT_TRUE(
      has_pattern(borrowed, 2 * kPageSize + 100));      // not truncated in this test, so it may be accessed
  EXPECT_TRUE(memory->borrow(data, kPageSize).empty()); // as fast to read
  EXPECT_TRUE(memory->borrow(data - kPageSize, 2 * kPageSize).empty());
  EXPECT_TRUE(memory->borrow(data, 2 * kPageSize + 1).empty());
  EXPECT_TRUE(memory->borrow(data, 16 * kMiB).empty());
  EXPECT_TRUE(memory->borrow(child.value(0) + 16 * kMiB - kPageSize, 2 * kPageSize).empty());
  EXPECT_TRUE(memory->borrow(~Hva{0} - 4, 2 * kPageSize).empty());
  EXPECT_EQ(blocks(child, child.value(1)), before);
}

TEST(HostMemory, UnalignedRequest_IsBorrowedWhole) {
  const ForkedChild child{[] {
    const int fd = sparse_memfd(4 * kMiB);
    std::byte* const memory = map(4 * kMiB, MAP_SHARED, fd);
    fill(memory, 0, 4 * kMiB);
    return ChildValues{address(memory)};
  }};
  const auto memory = open(child, child.value(0), 4 * kMiB);
  EXPECT_EQ(memory->borrow(child.value(0) + 123, kMiB).size(), kMiB);
  EXPECT_EQ(memory->borrow(child.value(0), kMiB + kPageSize).size(), kMiB + kPageSize);
  EXPECT_TRUE(memory->borrow(child.value(0) + 1, kMiB + kPageSize).empty());
}

TEST(HostMemory, TruncatedFile_EndsReadsAndIsNotBorrowed) {
  int fd = -1;
  ForkedChild child{[&] {
                      fd = sparse_memfd(8 * kPageSize);
                      std::byte* const memory = map(8 * kPageSize, MAP_SHARED, fd);
                      fill(memory, 0, 8 * kPageSize);
                      return ChildValues{address(memory)};
                    },
                    [&] { static_cast<void>(::ftruncate(fd, 4 * kPageSize)); }};
  const auto memory = open(child, child.value(0), 8 * kPageSize);
  EXPECT_EQ(memory->borrow(child.value(0) + 4 * kPageSize, 2 * kPageSize).size(), 2 * kPageSize);
  child.proceed();
  EXPECT_TRUE(memory->borrow(child.value(0) + 4 * kPageSize, 2 * kPageSize).empty());
  EXPECT_TRUE(memory->borrow(child.value(0) + 3 * kPageSize, 2 * kPageSize).empty());
  EXPECT_EQ(memory->borrow(child.value(0) + 2 * kPageSize, 2 * kPageSize).size(), 2 * kPageSize);
  const Reading across = read(*memory, child.value(0) + 3 * kPageSize, 2 * kPageSize);
  EXPECT_EQ(across.done, kPageSize);
  EXPECT_EQ(across.failure, ErrorKind::source_failed);
}

TEST(HostMemory, PrivateFileMapping_GivesTheProcessViewAndDoesNotGrow) {
  const ForkedChild child{[] {
    const int fd = sparse_memfd(16 * kMiB);
    std::byte* const file = map(16 * kMiB, MAP_SHARED, fd);
    fill(file, kMiB, 2 * kMiB);
    ::munmap(file, 16 * kMiB);
    std::byte* const memory = map(16 * kMiB, MAP_PRIVATE, fd);
    std::memset(memory + kMiB + 4 * kPageSize, 0x5a, kPageSize); // a private copy over data
    std::memset(memory + 3 * kMiB, 0x5b, kPageSize);             // and over a hole
    return ChildValues{address(memory), static_cast<std::uint64_t>(fd)};
  }};
  const auto memory = open(child, child.value(0), 16 * kMiB);
  EXPECT_THAT(memory->describe(), HasSubstr("private mapping of /memfd:guest-ram"));
  const auto blocks_before = blocks(child, child.value(1));
  const auto rss_before = child.status_kib("VmRSS");
  const auto all = read_all(*memory, child.value(0), 16 * kMiB);
  const std::span view{all};
  EXPECT_TRUE(is_zero(view.first(kMiB)));
  EXPECT_TRUE(has_pattern(view.subspan(kMiB, 4 * kPageSize), kMiB));
  EXPECT_EQ(view[kMiB + 4 * kPageSize], std::byte{0x5a});
  EXPECT_EQ(view[kMiB + 5 * kPageSize - 1], std::byte{0x5a});
  EXPECT_TRUE(has_pattern(view.subspan(kMiB + 5 * kPageSize, kMiB - 5 * kPageSize), kMiB + 5 * kPageSize));
  EXPECT_TRUE(is_zero(view.subspan(2 * kMiB, kMiB)));
  EXPECT_EQ(view[3 * kMiB + 17], std::byte{0x5b});
  EXPECT_TRUE(is_zero(view.subspan(3 * kMiB + kPageSize)));
  EXPECT_EQ(blocks(child, child.value(1)), blocks_before);
  EXPECT_LE(child.status_kib("VmRSS"), rss_before + 64);

  const Reading across = read(*memory, child.value(0) + kMiB - 50, 100);
  EXPECT_TRUE(is_zero(std::span{across.bytes}.first(50)));
  EXPECT_TRUE(has_pattern(std::span{across.bytes}.subspan(50), kMiB));
  EXPECT_TRUE(memory->borrow(child.value(0) + kMiB, 2 * kPageSize).empty());
}

TEST(HostMemory, RangeOverSeveralKinds_IsRead) {
  const ForkedChild child{[] {
    std::byte* const memory = map(6 * kPageSize, MAP_PRIVATE | MAP_ANONYMOUS);
    const int fd = sparse_memfd(2 * kPageSize);
    map(2 * kPageSize, MAP_SHARED | MAP_FIXED, fd, memory + 2 * kPageSize);
    fill(memory, 0, 6 * kPageSize);
    return ChildValues{address(memory)};
  }};
  const auto memory = open(child, child.value(0), 6 * kPageSize);
  ASSERT_EQ(memory->stretches().size(), 3U);
  EXPECT_EQ(memory->stretches()[1].range.size(), 2 * kPageSize);
  EXPECT_TRUE(has_pattern(read(*memory, child.value(0) + 5, 6 * kPageSize - 5).bytes, 5));
}

TEST(HostMemory, SharedAnonymousMemory_IsRead) {
  const ForkedChild child{[] {
    std::byte* const memory = map(8 * kPageSize, MAP_SHARED | MAP_ANONYMOUS);
    fill(memory, kPageSize, 3 * kPageSize);
    return ChildValues{address(memory)};
  }};
  const HvaRange range{child.value(0), child.value(0) + 8 * kPageSize};
  const auto memory = HostMemory::open(child.space(), {&range, 1});
  if (!memory) {
    // No process has a descriptor for it: only root may open it.
    EXPECT_EQ(memory.error().kind, ErrorKind::permission);
    EXPECT_THAT(memory.error().text, HasSubstr("CAP_CHECKPOINT_RESTORE"));
    return;
  }
  EXPECT_TRUE(has_pattern(read(**memory, child.value(0) + kPageSize, kPageSize).bytes, kPageSize));
  EXPECT_TRUE(is_zero(read(**memory, child.value(0) + 3 * kPageSize, kPageSize).bytes));
  EXPECT_EQ((*memory)->borrow(child.value(0) + kPageSize, 2 * kPageSize).size(), 2 * kPageSize);
  EXPECT_TRUE((*memory)->borrow(child.value(0) + 2 * kPageSize, 2 * kPageSize).empty());
}

/// Only process_vm_readv waits for the handler, which a small read does not begin with.
TEST(HostMemory, MissingPageOfAUserfaultHandler_IsWaitedFor) {
  const ForkedChild child{[] {
    const int fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
    std::byte* const memory = map(4 * kPageSize, MAP_PRIVATE | MAP_ANONYMOUS);
    uffdio_api api{};
    api.api = UFFD_API;
    uffdio_register reg{};
    reg.range.start = address(memory);
    reg.range.len = 4 * kPageSize;
    reg.mode = UFFDIO_REGISTER_MODE_MISSING;
    if (fd < 0 || ::ioctl(fd, UFFDIO_API, &api) != 0 || ::ioctl(fd, UFFDIO_REGISTER, &reg) != 0) {
      return ChildValues{};
    }
    std::thread{[fd] {
      const std::vector<std::byte> page(kPageSize, std::byte{0x75});
      uffd_msg message{};
      while (::read(fd, &message, sizeof message) == sizeof message) {
        uffdio_copy copy{};
        copy.dst = message.arg.pagefault.address & ~(kPageSize - 1);
        copy.src = address(page.data());
        copy.len = kPageSize;
        ::ioctl(fd, UFFDIO_COPY, &copy);
      }
    }}.detach();
    return ChildValues{address(memory)};
  }};
  if (child.value(0) == 0) {
    GTEST_SKIP() << "userfaultfd is not allowed here; run as root";
  }
  const auto memory = open(child, child.value(0), 4 * kPageSize);
  EXPECT_EQ(read_all(*memory, child.value(0) + kPageSize, 8), std::vector(8, std::byte{0x75}));
}

TEST(HostMemory, NonMemoryMapping_IsRefused) {
  const ForkedChild child{[] {
    std::byte* const memory = map(8 * kPageSize, MAP_PRIVATE | MAP_ANONYMOUS);
    ::munmap(memory + 2 * kPageSize, kPageSize);
    ::mprotect(memory + 4 * kPageSize, kPageSize, PROT_NONE);
    return ChildValues{address(memory)};
  }};
  const auto maps = read_maps(*child.space()).value();
  const auto vvar = std::ranges::find_if(maps, [](const Vma& vma) { return vma.path.starts_with("[vvar"); });
  ASSERT_NE(vvar, maps.end());
  const std::array ranges{HvaRange{child.value(0), child.value(0) + 8 * kPageSize}, vvar->range};
  const auto memory = HostMemory::open(child.space(), ranges);
  ASSERT_TRUE(memory) << memory.error().message();
  EXPECT_EQ(read(**memory, child.value(0) + 2 * kPageSize, 10).failure, ErrorKind::unsupported);
  EXPECT_EQ(read(**memory, child.value(0) + 4 * kPageSize, 10).failure, ErrorKind::unsupported);
  EXPECT_EQ(read(**memory, vvar->range.begin, 10).failure, ErrorKind::unsupported);
  const Reading into = read(**memory, child.value(0) + kPageSize, 2 * kPageSize);
  EXPECT_EQ(into.done, kPageSize);
  EXPECT_EQ(into.failure, ErrorKind::unsupported);
  EXPECT_EQ(read(**memory, child.value(0) + 8 * kPageSize, 10).failure, ErrorKind::hole);
  std::vector<std::string> refusals;
  for (const HostStretch& stretch : (*memory)->stretches()) {
    if (!stretch.usable) {
      refusals.push_back(stretch.detail);
    }
  }
  EXPECT_THAT(refusals, testing::UnorderedElementsAre("nothing is mapped there", "mapped without read access",
                                                      HasSubstr("not memory: [vvar")));
  const auto refused = HostMemory::open(child.space(), {&vvar->range, 1});
  EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
}

TEST(HostMemory, ProcessEnded_AllReadsFail) {
  ForkedChild child{shared_memfd};
  const auto memory = open(child, child.value(0), 16 * kMiB);
  const Hva data = child.value(0) + 2 * kPageSize;
  EXPECT_FALSE(memory->borrow(data, 2 * kPageSize).empty());
  ::kill(child.pid(), SIGKILL);
  // Still a zombie: gone nevertheless, although our mapping holds the memfd.
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT);
  const Reading reading = read(*memory, data, kPageSize);
  EXPECT_EQ(reading.failure, ErrorKind::vm_gone);
  EXPECT_EQ(reading.done, 0U);
  EXPECT_TRUE(memory->borrow(data, 2 * kPageSize).empty());
}

TEST(HostMemory, ProcessKilled_DuringParallelReads_GivesDataOrGone) {
  ForkedChild child{[] {
    std::byte* const memory = map(16 * kMiB, MAP_PRIVATE | MAP_ANONYMOUS);
    fill(memory, 0, 16 * kMiB);
    return ChildValues{address(memory)};
  }};
  const Hva base = child.value(0);
  const auto memory = open(child, base, 16 * kMiB);
  std::atomic<int> good = 0;
  std::atomic<int> bad = 0;
  const auto reader = [&](std::size_t seed) {
    std::optional<ErrorKind> failure;
    for (std::size_t i = seed; !failure; ++i) {
      const std::size_t offset = i * 70001 % (15 * kMiB);
      const Reading reading = read(*memory, base + offset, 9000);
      failure = reading.failure;
      if (!failure) {
        (has_pattern(reading.bytes, offset) ? good : bad)++;
      }
    }
    EXPECT_EQ(failure, ErrorKind::vm_gone);
  };
  {
    const std::jthread one{reader, 1};
    const std::jthread two{reader, 2};
    EXPECT_TRUE(test::eventually([&] { return good > 0; }));
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    child.kill();
  }
  EXPECT_EQ(bad, 0);
}

TEST(HostMemory, SharedHugePages_AreRead) {
  constexpr std::size_t kSize = 4 * kMiB;
  const ForkedChild child{[] {
    const int fd = sparse_memfd(kSize, MFD_HUGETLB);
    std::byte* const memory = fd < 0 ? nullptr : map(kSize, MAP_SHARED | MAP_NORESERVE, fd);
    const bool free = memory != nullptr && ::madvise(memory, 2 * kMiB, MADV_POPULATE_WRITE) == 0;
    if (free) {
      fill(memory, 0, kPageSize);
    }
    return ChildValues{free ? address(memory) : 0, static_cast<std::uint64_t>(fd)};
  }};
  if (child.value(0) == 0) {
    GTEST_SKIP() << "no free huge pages; as root: sysctl vm.nr_hugepages=8";
  }
  const auto memory = open(child, child.value(0), kSize);
  EXPECT_THAT(memory->describe(), HasSubstr("shared huge pages"));
  const auto before = blocks(child, child.value(1));
  const auto all = read_all(*memory, child.value(0), kSize);
  EXPECT_TRUE(has_pattern(std::span{all}.first(kPageSize), 0));
  EXPECT_TRUE(is_zero(std::span{all}.subspan(kPageSize)));
  EXPECT_TRUE(memory->borrow(child.value(0), 2 * kPageSize).empty());
  EXPECT_EQ(blocks(child, child.value(1)), before);
}

class PrivateHugePages : public testing::TestWithParam<bool> {};

TEST_P(PrivateHugePages, Read_AllocatesNothing) {
  constexpr std::size_t kSize = 8 * kMiB;
  const ForkedChild child{[] {
    const int fd = GetParam() ? sparse_memfd(kSize, MFD_HUGETLB) : -1;
    std::byte* const memory =
        map(kSize, MAP_PRIVATE | MAP_NORESERVE | (GetParam() ? 0 : MAP_ANONYMOUS | MAP_HUGETLB), fd);
    const bool free = memory != nullptr && ::madvise(memory + 2 * kMiB, 2 * kMiB, MADV_POPULATE_WRITE) == 0;
    if (free) {
      fill(memory, 2 * kMiB, 4 * kMiB);
    }
    return ChildValues{free ? address(memory) : 0};
  }};
  if (child.value(0) == 0) {
    GTEST_SKIP() << "no free huge pages; as root: sysctl vm.nr_hugepages=8";
  }
  const auto memory = open(child, child.value(0), kSize);
  const auto before = child.status_kib("HugetlbPages");
  const auto all = read_all(*memory, child.value(0), kSize);
  EXPECT_TRUE(is_zero(std::span{all}.first(2 * kMiB)));
  EXPECT_TRUE(has_pattern(std::span{all}.subspan(2 * kMiB, 2 * kMiB), 2 * kMiB));
  EXPECT_TRUE(is_zero(std::span{all}.subspan(4 * kMiB)));
  EXPECT_EQ(child.status_kib("HugetlbPages"), before);
}

INSTANTIATE_TEST_SUITE_P(All, PrivateHugePages, testing::Bool());

} // namespace
} // namespace vmemfs
