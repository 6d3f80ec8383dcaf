// SPDX-License-Identifier: MIT
// `linux/` and `core` of saved memory without registers. The truth is what the guest printed of itself before
// it was saved.
#include "kernel_files.h"
#include "support/child_process.h"
#include "support/files.h"

#include <cstdint>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

class SavedMemory : public KernelFiles {
protected:
  /// As QEMU saves it: an offset is a guest physical address.
  [[nodiscard]] std::string raw_image() {
    constexpr std::uint64_t kMemory = std::uint64_t{512} << 20U;
    guest_->pmemsave(0, kMemory, dir_ / "raw");
    return dir_ / "raw";
  }
  [[nodiscard]] std::string saved_as(const std::string& format) const {
    const auto saved = run({VMEMFS_PROGRAM, "save", "--format", format, *mount_ / "vm", dir_ / format});
    EXPECT_EQ(saved.code, 0) << saved.text;
    return dir_ / format;
  }
  void show(const std::string& file, const std::string& format) {
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=dump:path={},format={}", file, format)});
  }
  void expect_proven_kernel() {
    ASSERT_NO_FATAL_FAILURE(expect_files_of_the_kernel());
    EXPECT_THAT(info()["proof"].get<std::string>(), HasSubstr("by the kernel's own structures"));
  }

  const TempDir dir_;
};

TEST_F(SavedMemory, WithoutRegisters_FilesAreWhatTheGuestSaid) {
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  const std::string lime = saved_as("lime");
  const std::string avml = saved_as("avml");
  show(raw_image(), "raw");
  expect_proven_kernel();
  EXPECT_FALSE(exists(*mount_ / "vm/vcpus/0")) << "the file has no vCPU";
  show(lime, "lime");
  expect_proven_kernel();
#if !defined(__SANITIZE_ADDRESS__) &&                                                                        \
    !defined(__SANITIZE_THREAD__) // unpacking takes longer than a search may
  show(avml, "avml");
  expect_proven_kernel();
#endif
}

TEST_F(SavedMemory, FiveLevels_FilesAreWhatTheGuestSaid) {
  boot({"-machine", "q35", "-cpu", "max,la57=on"});
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  show(raw_image(), "raw");
  expect_proven_kernel();
  EXPECT_EQ(info()["page_tables"]["levels"], 5);
}

TEST_F(SavedMemory, AfterAReset_TheLaterKernelIsShown) {
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  const std::string former = truth("kallsyms");
  ASSERT_NO_FATAL_FAILURE(reset());
  EXPECT_NE(truth("kallsyms"), former) << "the kernel lies elsewhere at each boot";
  guest_->pause();
  show(raw_image(), "raw");
  expect_proven_kernel();
}

TEST_F(SavedMemory, CoreOfARawImage_IsOpenedByAnalysisTools) {
  boot({"-smp", "2", "-cpu", "max,la57=off"});
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  show(raw_image(), "raw");
  write_file(dir_ / "tasks.py", "from drgn.helpers.linux import for_each_task\n"
                                "for task in for_each_task(prog):\n"
                                "    print('task', task.pid.value_(), task.comm.string_().decode())\n");
  const auto drgn = run({"drgn", "-q", "-c", *mount_ / "vm/core", "-s", path("vmlinux"), dir_ / "tasks.py"});
  EXPECT_EQ(drgn.code, 0) << drgn.text;
  EXPECT_THAT(drgn.text, HasSubstr("task 1 init\n"));
  EXPECT_THAT(drgn.text, HasSubstr("task 2 kthreadd\n"));
  write_file(dir_ / "commands", "sys\n"
                                "list task_struct.tasks -s task_struct.comm -h init_task\n"
                                "quit\n");
  const auto crash =
      run({"/bin/sh", "-c",
           fmt::format("crash -s '{}' '{}' <'{}'", path("vmlinux"), *mount_ / "vm/core", dir_ / "commands")});
  EXPECT_EQ(crash.code, 0) << crash.text;
  EXPECT_THAT(crash.text, HasSubstr("comm = \"kthreadd"));
}

TEST_F(SavedMemory, NoLinux_InfoSaysWhy) {
  write_file(dir_ / "raw", std::string(std::size_t{16} << 20U, 'x'));
  show(dir_ / "raw", "raw");
  EXPECT_EQ(names(path("")), std::set<std::string>{"info"});
  EXPECT_EQ(info()["found"], false);
  EXPECT_THAT(info()["reason"].get<std::string>(), HasSubstr("no VMCOREINFO"));
}

} // namespace
} // namespace vmemfs::test
