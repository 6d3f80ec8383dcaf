// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/process_memory.h"
#include "support/forked_child.h"

#include <array>
#include <gtest/gtest.h>
#include <sys/mman.h>

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

TEST(ProcessMemory, Read_ReturnsExactBytes) {
  const ForkedChild child{lonely_page};
  EXPECT_EQ(read_process_value<std::uint64_t>(child.pid(), child.value(0)).value(), 0x1122334455667788U);
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  const std::array pieces{
      ProcessPiece{child.value(0) + 511 * 8, std::as_writable_bytes(std::span{&last, 1})},
      ProcessPiece{child.value(0), std::as_writable_bytes(std::span{&first, 1})},
  };
  ASSERT_TRUE(read_process_memory(child.pid(), pieces));
  EXPECT_EQ(first, 0x1122334455667788U);
  EXPECT_EQ(last, 42U);
}

TEST(ProcessMemory, PartlyMapped_Fails) {
  const ForkedChild child{lonely_page};
  std::array<std::byte, 64> buffer{};
  EXPECT_EQ(read_process_memory(child.pid(), child.value(0) + kPageSize - 32, buffer).error().kind,
            ErrorKind::source_failed);
  EXPECT_EQ(read_process_memory(child.pid(), child.value(0) + kPageSize, buffer).error().kind,
            ErrorKind::source_failed);
  EXPECT_EQ(read_process_memory_prefix(child.pid(), child.value(0) + kPageSize - 32, buffer).value(), 32U);
  EXPECT_FALSE(read_process_memory_prefix(child.pid(), child.value(0) + kPageSize, buffer));
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

TEST(ProcessMemory, TooManyPieces_IsRefused) {
  const std::array<ProcessPiece, kMaxProcessPieces + 1> pieces{};
  EXPECT_EQ(read_process_memory(::getpid(), pieces).error().kind, ErrorKind::invalid);
}

} // namespace
} // namespace vmemfs
