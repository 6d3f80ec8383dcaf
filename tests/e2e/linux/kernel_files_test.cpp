// SPDX-License-Identifier: MIT
// `linux/` of a Linux guest of QEMU, found in its memory alone. The truth is what the guest prints of itself.
#include "kernel_files.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::uintmax_t blocks(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uintmax_t>(status.st_blocks) : 0;
}

TEST_F(KernelFiles, RunningGuest_FilesAreWhatTheGuestSays) {
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  const std::string known = "vmemfs_vm_linux_info{vm=\"vm\",driver=\"qemu\",release=\"";
  EXPECT_THAT(read_file(*mount_ / ".vmemfs/stats"), Not(HasSubstr(known))) << "nobody asked for it";
  expect_files_of_the_kernel();
  EXPECT_THAT(read_file(*mount_ / ".vmemfs/stats"),
              HasSubstr(known + info()["release"].get<std::string>() + "\"} 1\n"));
  EXPECT_EQ(names(path("")),
            (std::set<std::string>{"info", "banner", "vmcoreinfo", "dmesg", "ps", "modules", "mounts",
                                   "sockets", "System.map", "kallsyms", "btf", "symbols", "vmlinux"}));
  ASSERT_EQ(truths("modules").size(), 2U) << "the guest loads two";
  EXPECT_THAT(read_file(path("kallsyms")), ContainsRegex("\n[0-9a-f]{16} T llc_sap_open\t\\[llc\\]\n"));
  EXPECT_EQ(std::filesystem::file_size(path("kallsyms")), read_file(path("kallsyms")).size());
  EXPECT_EQ(std::filesystem::file_size(path("btf/vmlinux")), read_file(path("btf/vmlinux")).size());
  // tar --sparse does not read a file without blocks, and du adds them up.
  EXPECT_EQ(blocks(path("kallsyms")), (std::filesystem::file_size(path("kallsyms")) + 511) / 512);
  EXPECT_EQ(open_error(path("vmlinux")), 0); // it is made then, and has a size from then on
  EXPECT_GT(blocks(path("vmlinux")), 0U);
  EXPECT_LE(blocks(path("vmlinux")), (std::filesystem::file_size(path("vmlinux")) + 511) / 512);

  const auto offset = std::stoull(info()["kaslr_offset"].get<std::string>(), nullptr, 16);
  EXPECT_NE(offset, 0U) << "the kernel lies elsewhere at each boot";
  EXPECT_THAT(line_with(read_file(path("System.map")), " T _text"), StartsWith("ffffffff81000000 "));
  EXPECT_THAT(line_with(read_file(path("kallsyms")), " T _text"),
              StartsWith(fmt::format("{:016x} ", 0xffffffff81000000 + offset)));
}

// How long they are is the guest's word, and each handle keeps its own: many of them took all memory.
TEST_F(KernelFiles, HandlesOfLongTexts_AreBounded) {
  boot({});
  if (IsSkipped()) {
    return;
  }
  const std::size_t bytes = read_file(path("kallsyms")).size();
  ASSERT_GT(bytes, std::size_t{1} << 20U);
  const std::size_t most = (std::size_t{256} << 20U) / bytes;
  std::vector<UniqueFd> handles;
  int error = 0;
  while (error == 0 && handles.size() <= most) {
    handles.emplace_back(::open(path("kallsyms").c_str(), O_RDONLY | O_CLOEXEC));
    error = handles.back() ? 0 : errno;
  }
  EXPECT_EQ(error, ENOMEM);
  EXPECT_GT(handles.size(), 4U);
  handles.clear();
  EXPECT_TRUE(eventually([&] { return open_error(path("kallsyms")) == 0; })); // closing is not waited for
}

TEST_F(KernelFiles, VmHangs_ListingHasTheFilesOfTheKernelFoundLast) {
  boot({});
  if (IsSkipped()) {
    return;
  }
  ASSERT_EQ(info()["found"], true);
  const auto listed = names(path(""));
  EXPECT_THAT(listed, testing::Contains("ps"));
  guest_->process().signal(SIGSTOP); // the monitor does not answer any more
  EXPECT_EQ(names(path("")), listed);
  EXPECT_GT(std::filesystem::file_size(path("ps")), 0U);
  EXPECT_NE(open_error(path("ps")), 0) << "the kernel cannot be proven";
  guest_->process().signal(SIGCONT);
  EXPECT_EQ(open_error(path("ps")), 0);
}

TEST_F(KernelFiles, Q35WithFiveLevels_FilesAreWhatTheGuestSays) {
  boot({"-machine", "q35", "-cpu", "max,la57=on"}, "vmemfs.truth"); // and without modules
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  expect_files_of_the_kernel();
  EXPECT_EQ(info()["page_tables"]["levels"], 5);
}

TEST_F(KernelFiles, AfterAReset_TheFormerKernelIsNotShown) {
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  expect_files_of_the_kernel();
  const std::string before = read_file(path("kallsyms"));
  const UniqueFd open_before{::open(path("kallsyms").c_str(), O_RDONLY | O_CLOEXEC)};

  guest_->monitor().execute("system_reset"); // memory keeps what it has
  EXPECT_EQ(info()["found"], false);
  EXPECT_THAT(info()["reason"].get<std::string>(), HasSubstr("no vCPU runs a kernel"));
  EXPECT_EQ(open_error(path("kallsyms")), ENODATA);
  EXPECT_EQ(open_error(path("btf/vmlinux")), ENODATA);
  const auto kept = pread_at(open_before.get(), 0, before.size());
  EXPECT_EQ(kept.error, 0) << "an open file keeps what it has";

  guest_->resume();
  ASSERT_TRUE(eventually([&] { return info()["found"] == true; }, kLinuxBoot));
  guest_->pause();
  EXPECT_NE(read_file(path("kallsyms")), before) << "the kernel lies elsewhere at each boot";
}

TEST_F(KernelFiles, GuestWithoutLinux_InfoSaysWhy) {
  guest_ = std::make_unique<QemuGuest>(GuestOptions{});
  mount_ = std::make_unique<Mount>(
      std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
  EXPECT_EQ(info()["found"], false);
  EXPECT_THAT(info()["reason"].get<std::string>(), HasSubstr("no VMCOREINFO"));
  EXPECT_EQ(names(path("")), std::set<std::string>{"info"});
  EXPECT_EQ(open_error(path("System.map")), ENODATA);
}

} // namespace
} // namespace vmemfs::test
