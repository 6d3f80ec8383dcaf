// SPDX-License-Identifier: MIT
#include "linux/made_kernel.h"
#include "linux/tasks/process_list.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <string_view>

namespace vmemfs {
namespace {

/// What the list says of a kernel.
std::string list_of(MadeKernel& kernel) { return kernel.text(process_list); }

constexpr std::string_view kHeader = "PID\tPPID\tUID\tSTATE\tNAME\tPROGRAM\tCOMMAND\n";

std::string row(unsigned pid, std::string_view name) {
  return std::to_string(pid) + "\t0\t*\tS\t" + std::string{name} + "\t-\t-\n";
}

/// The user id is not what these tests are about.
std::string without_uid(std::string text) {
  for (std::size_t at = text.find("\t0\t"); at != std::string::npos; at = text.find("\t0\t", at + 1)) {
    const std::size_t end = text.find('\t', at + 3);
    text.replace(at + 3, end - at - 3, "*");
  }
  return text;
}

TEST(ProcessList, KernelThreads_ARowEach) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "bad\n\xff");
  EXPECT_EQ(without_uid(list_of(kernel)),
            std::string{kHeader} + row(1, "init") + row(2, "bad\\x0a\\xff") + "# complete: 2 processes\n");
}

TEST(ProcessList, ListThatNeverEnds_SaidAsIncomplete) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "two");
  kernel.memory.write(MadeKernel::task(1), MadeKernel::task(0));
  EXPECT_TRUE(list_of(kernel).ends_with(
      "# incomplete: 2 processes; the list changed while it was read, or is damaged\n"));
}

TEST(ProcessList, PidBeyondTheLimit_NoRow) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(5'000'000, "wrong");
  const std::string text = list_of(kernel);
  EXPECT_EQ(text.find("wrong"), std::string::npos);
  EXPECT_NE(text.find("# incomplete: 1 processes"), std::string::npos);
}

TEST(ProcessList, ProcessThatEndsWhileItIsRead_OthersAreComplete) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "short");
  kernel.add(3, "long");
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MadeKernel::task(1) && ++reads == 2) { // the check after its row was made
      kernel.remove(1);
    }
  };
  EXPECT_EQ(without_uid(list_of(kernel)),
            std::string{kHeader} + row(1, "init") + row(3, "long") + "# complete: 2 processes\n");
}

} // namespace
} // namespace vmemfs
