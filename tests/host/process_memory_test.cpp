// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/process_memory.h"
#include "support/forked_child.h"

#include <array>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <vector>

namespace vmemfs {
namespace {

/// One page that is mapped and one after it that is not.
ChildValues lonely_page() {
  auto* const memory = static_cast<std::uint64_t*>(
      ::mmap(nullptr, 2 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memory[0] = 0x1122334455667788;
  memory[511] = 42;
  ::munmap(memory + 512, kPageSize);
  return {reinterpret_cast<std::uint64_t>(memory)};
}

/// Two pages that are mapped and one after them that is not.
ChildValues two_pages() {
  auto* const memory = static_cast<std::byte*>(
      ::mmap(nullptr, 3 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::munmap(memory + 2 * kPageSize, kPageSize);
  return {reinterpret_cast<std::uint64_t>(memory)};
}

std::vector<std::byte> bytes(std::size_t size) { return std::vector(size, std::byte{0x5a}); }

TEST(ProcessMemory, Read_ReturnsExactBytes) {
  const ForkedChild child{lonely_page};
  const auto space = child.space();
  EXPECT_EQ(read_process_value<std::uint64_t>(*space, child.value(0)).value(), 0x1122334455667788U);
  EXPECT_EQ(read_process_value<std::uint64_t>(*space, child.value(0) + 511 * 8).value(), 42U);
}

TEST(ProcessMemory, PartlyMapped_Fails) {
  const ForkedChild child{lonely_page};
  const auto space = child.space();
  std::array<std::byte, 64> buffer{};
  EXPECT_EQ(read_process_memory(*space, child.value(0) + kPageSize - 32, buffer).error().kind,
            ErrorKind::source_failed);
  EXPECT_EQ(read_process_memory(*space, child.value(0) + kPageSize, buffer).error().kind,
            ErrorKind::source_failed);
  EXPECT_EQ(read_process_memory_prefix(*space, child.value(0) + kPageSize - 32, buffer).value(), 32U);
  EXPECT_FALSE(read_process_memory_prefix(*space, child.value(0) + kPageSize, buffer));
}

TEST(ProcessMemory, DeniedOrEndedProcess_ErrorKindSaysWhich) {
  ForkedChild child{lonely_page};
  EXPECT_TRUE(check_process_memory_access(child.pid()));
  EXPECT_TRUE(unprivileged([] {
    const auto access = check_process_memory_access(1);
    return !access && access.error().kind == ErrorKind::permission &&
           access.error().text.find("CAP_SYS_PTRACE") != std::string::npos;
  }));
  const pid_t pid = child.pid();
  child.kill();
  EXPECT_EQ(check_process_memory_access(pid).error().kind, ErrorKind::vm_gone);
}

TEST(ProcessMemory, Write_ChangesExactBytes) {
  const ForkedChild child{two_pages};
  const auto space = child.space();
  const auto outcome = write_process_memory(*space, child.value(0) + kPageSize - 3, bytes(7));
  EXPECT_EQ(outcome.done, 7U);
  EXPECT_FALSE(outcome.failure);
  std::vector<std::byte> around(9);
  ASSERT_TRUE(read_process_memory(*space, child.value(0) + kPageSize - 4, around));
  auto expected = bytes(9);
  expected.front() = expected.back() = std::byte{0};
  EXPECT_EQ(around, expected);
}

TEST(ProcessMemory, PartialWrite_ReportsBytesWritten) {
  const ForkedChild child{two_pages};
  const auto space = child.space();
  const auto outcome = write_process_memory(*space, child.value(0) + kPageSize, bytes(2 * kPageSize));
  EXPECT_EQ(outcome.done, kPageSize);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::source_failed);
  EXPECT_EQ(write_process_memory(*space, child.value(0) + 2 * kPageSize, bytes(1)).done, 0U);
}

TEST(ProcessMemory, ProcessEnded_WriteFailsAsGone) {
  ForkedChild child{two_pages};
  const auto space = child.space();
  EXPECT_EQ(write_process_memory(*space, child.value(0), bytes(1)).done, 1U);
  child.kill();
  const auto outcome = write_process_memory(*space, child.value(0), bytes(1));
  EXPECT_EQ(outcome.done, 0U);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::vm_gone);
  EXPECT_EQ(read_process_value<char>(*space, child.value(0)).error().kind, ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs
