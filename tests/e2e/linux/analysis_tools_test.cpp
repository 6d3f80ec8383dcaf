// SPDX-License-Identifier: MIT
// `linux/vmlinux` and `core` of a paused Linux guest in Debian's gdb, drgn and crash, with nothing else. The
// truth is what the guest prints, and the sizes and offsets that its kernel has in VMCOREINFO.
#include "e2e/images/linux_guest.h"
#include "support/files.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <cstdlib>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

namespace vmemfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class LinuxTools : public LinuxGuestTest {
protected:
  void SetUp() override {
    LinuxGuestTest::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) {
      guest_->pause();
    }
  }
  /// Volatility reads no guests with five levels of page tables.
  [[nodiscard]] std::string cpu() const override { return "max,la57=off"; }

  [[nodiscard]] std::string vmlinux() const { return *mount_ / "vm/linux/vmlinux"; }
  [[nodiscard]] std::string symbols() const { return *mount_ / "vm/linux/symbols"; }
  [[nodiscard]] std::string core() const { return *mount_ / "vm/core"; }
  [[nodiscard]] std::string banner() const {
    const std::string line = line_with(guest_->serial(), "banner: Linux version ");
    const std::size_t begin = line.find("Linux version ");
    return line.substr(begin, line.find_first_of("\r\n", begin) - begin);
  }
  /// The number in a line of VMCOREINFO such as SIZE(page)=64.
  [[nodiscard]] std::string in_vmcoreinfo(const std::string& key) const {
    const std::string line = line_with(read_file(*mount_ / "vm/linux/vmcoreinfo"), key + "=");
    return line.substr(key.size() + 1);
  }
};

TEST_F(LinuxTools, Gdb_HasTheKernelsTypesAndVariables) {
  if (IsSkipped()) {
    return;
  }
  const auto gdb = run({"gdb", "-nx", "-batch", "-ex", "print sizeof(struct page)", "-ex",
                        "print (int)&((struct page *)0)->lru", "-ex", "print sizeof(struct list_head)", "-ex",
                        "print init_task.comm", "-ex", "info symbol linux_banner", vmlinux()});
  EXPECT_EQ(gdb.code, 0) << gdb.text;
  EXPECT_THAT(gdb.text, HasSubstr("$1 = " + in_vmcoreinfo("SIZE(page)") + "\n"));
  EXPECT_THAT(gdb.text, HasSubstr("$2 = " + in_vmcoreinfo("OFFSET(page.lru)") + "\n"));
  EXPECT_THAT(gdb.text, HasSubstr("$3 = " + in_vmcoreinfo("SIZE(list_head)") + "\n"));
  EXPECT_THAT(gdb.text, HasSubstr("$4 = \"swapper"));
  EXPECT_THAT(gdb.text, HasSubstr("linux_banner in section"));
}

/// What Volatility reads is JSON; Volatility itself if VMEMFS_VOLATILITY names a checkout of it.
TEST_F(LinuxTools, VolatilitySymbols_HaveTheKernelsTypes) {
  if (IsSkipped()) {
    return;
  }
  auto isf = nlohmann::json::parse(read_file(symbols() + "/linux/kernel.json"));
  EXPECT_EQ(isf["metadata"]["format"], "6.2.0");
  EXPECT_EQ(fmt::format("{}", isf["user_types"]["page"]["size"].get<int>()), in_vmcoreinfo("SIZE(page)"));
  EXPECT_EQ(fmt::format("{}", isf["user_types"]["page"]["fields"]["_refcount"]["offset"].get<int>()),
            in_vmcoreinfo("OFFSET(page._refcount)"));
  EXPECT_EQ(isf["symbols"]["init_task"]["type"]["name"], "task_struct");
}

TEST_F(LinuxTools, Volatility_ListsTheProcesses) {
  if (IsSkipped()) {
    return;
  }
  const char* const checkout = std::getenv("VMEMFS_VOLATILITY");
  if (checkout == nullptr) {
    GTEST_SKIP() << "VMEMFS_VOLATILITY does not name a checkout of Volatility 3";
  }
  const auto list = run({"python3", std::string{checkout} + "/vol.py", "-q", "-s", symbols(), "-f",
                         *mount_ / "vm/mem_padded", "linux.pslist"});
  EXPECT_EQ(list.code, 0) << list.text;
  EXPECT_THAT(list.text, ContainsRegex("\\b1\\s+1\\s+0\\s+init\\b"));
  EXPECT_THAT(list.text, ContainsRegex("\\b2\\s+2\\s+0\\s+kthreadd\\b"));
}

TEST_F(LinuxTools, Drgn_ListsTheTasks) {
  if (IsSkipped()) {
    return;
  }
  const TempDir dir;
  write_file(dir / "tasks.py", "from drgn.helpers.linux import for_each_task\n"
                               "print(prog['linux_banner'].string_().decode(), end='')\n"
                               "for task in for_each_task(prog):\n"
                               "    print('task', task.pid.value_(), task.comm.string_().decode())\n");
  const auto drgn = run({"drgn", "-q", "-c", core(), "-s", vmlinux(), dir / "tasks.py"});
  EXPECT_EQ(drgn.code, 0) << drgn.text;
  EXPECT_THAT(drgn.text, HasSubstr(banner() + "\n"));
  EXPECT_THAT(drgn.text, HasSubstr("task 1 init\n"));
  EXPECT_THAT(drgn.text, HasSubstr("task 2 kthreadd\n"));
}

TEST_F(LinuxTools, Crash_StartsAndReadsTheKernel) {
  if (IsSkipped()) {
    return;
  }
  const TempDir dir;
  write_file(dir / "commands", "sys\n"
                               "list task_struct.tasks -s task_struct.comm -h init_task\n"
                               "quit\n");
  const auto crash =
      run({"/bin/sh", "-c", fmt::format("crash -s '{}' '{}' <'{}'", vmlinux(), core(), dir / "commands")});
  ASSERT_EQ(crash.code, 0) << crash.text;
  EXPECT_THAT(crash.text, HasSubstr("CPUS: 2\n"));
  EXPECT_THAT(crash.text, HasSubstr("comm = \"kthreadd"));
  EXPECT_THAT(crash.text, HasSubstr("comm = \"init"));
  const std::string release = line_with(crash.text, "RELEASE: ");
  EXPECT_THAT(banner(), HasSubstr("Linux version " + release.substr(release.find(": ") + 2) + " "));
}

} // namespace
} // namespace vmemfs::test
