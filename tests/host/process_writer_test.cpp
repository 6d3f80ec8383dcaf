// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/process_memory.h"
#include "host/process_writer.h"
#include "support/forked_child.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <vector>

namespace vmemfs {
namespace {

/// Two pages that are mapped and one after them that is not.
ChildValues two_pages() {
  auto* const memory = static_cast<std::byte*>(
      ::mmap(nullptr, 3 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::munmap(memory + 2 * kPageSize, kPageSize);
  return {reinterpret_cast<std::uint64_t>(memory)};
}

std::vector<std::byte> bytes(std::size_t size) { return std::vector(size, std::byte{0x5a}); }

TEST(ProcessWriter, Write_ChangesExactBytes) {
  const ForkedChild child{two_pages};
  ProcessWriter writer{child.process()};
  const auto outcome = writer.write(child.value(0) + kPageSize - 3, bytes(7));
  EXPECT_EQ(outcome.done, 7U);
  EXPECT_FALSE(outcome.failure);
  std::vector<std::byte> around(9);
  ASSERT_TRUE(read_process_memory(child.pid(), child.value(0) + kPageSize - 4, around));
  auto expected = bytes(9);
  expected.front() = expected.back() = std::byte{0};
  EXPECT_EQ(around, expected);
}

TEST(ProcessWriter, PartialWrite_ReportsBytesWritten) {
  const ForkedChild child{two_pages};
  ProcessWriter writer{child.process()};
  const auto outcome = writer.write(child.value(0) + kPageSize, bytes(2 * kPageSize));
  EXPECT_EQ(outcome.done, kPageSize);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::source_failed);
  EXPECT_EQ(writer.write(child.value(0) + 2 * kPageSize, bytes(1)).done, 0U);
}

TEST(ProcessWriter, ProcessEnded_WriteFailsAsGone) {
  ForkedChild child{two_pages};
  ProcessWriter used{child.process()};
  ProcessWriter fresh{child.process()};
  EXPECT_EQ(used.write(child.value(0), bytes(1)).done, 1U);
  child.kill();
  for (ProcessWriter* const writer : {&used, &fresh}) {
    const auto outcome = writer->write(child.value(0), bytes(1));
    EXPECT_EQ(outcome.done, 0U);
    ASSERT_TRUE(outcome.failure);
    EXPECT_EQ(outcome.failure->kind, ErrorKind::vm_gone);
  }
}

TEST(ProcessWriter, PermissionDenied_ErrorNamesTheRemedy) {
  EXPECT_TRUE(unprivileged([] {
    ProcessWriter writer{std::make_shared<const Process>(Process::open(1).value())};
    const auto outcome = writer.write(0x1000, bytes(1));
    return outcome.done == 0 && outcome.failure && outcome.failure->kind == ErrorKind::permission &&
           outcome.failure->text.find("CAP_SYS_PTRACE") != std::string::npos;
  }));
}

} // namespace
} // namespace vmemfs
