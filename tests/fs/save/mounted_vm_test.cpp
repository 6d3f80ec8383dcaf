// SPDX-License-Identifier: MIT
#include "fs/save/guest/mounted_vm.h"
#include "support/files.h"
#include "util/unique_fd.h"

#include <fcntl.h>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

class FilesOfAVm : public testing::Test {
protected:
  [[nodiscard]] Result<UniqueFd> open(const std::string& name, int flags) const {
    return open_file_of_vm(directory_.get(), {dir_.path(), name}, flags);
  }
  void expect_foreign(const std::string& name, int flags) const {
    const auto fd = open(name, flags);
    ASSERT_FALSE(fd) << name;
    EXPECT_THAT(fd.error().text, HasSubstr(name + "': it is not a file of that mount")) << name;
  }

  TempDir dir_;
  UniqueFd directory_{::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
};

TEST_F(FilesOfAVm, RegularFile_IsOpenedAndBlocks) {
  write_file(dir_ / "control", "text");
  const auto fd = open("control", O_RDWR);
  ASSERT_TRUE(fd) << fd.error().text;
  EXPECT_EQ(::fcntl(fd->get(), F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
  EXPECT_EQ(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(FilesOfAVm, SymbolicLink_IsNotFollowed) {
  write_file(dir_ / "victim", "kept");
  std::filesystem::create_symlink(dir_ / "victim", dir_ / "control");
  expect_foreign("control", O_RDWR);
  EXPECT_EQ(read_file(dir_ / "victim"), "kept");
}

TEST_F(FilesOfAVm, PipeThatNobodyOpens_IsNotWaitedFor) {
  ASSERT_EQ(::mkfifo((dir_ / "core").c_str(), 0600), 0);
  expect_foreign("core", O_RDONLY);
  expect_foreign("core", O_WRONLY);
}

TEST_F(FilesOfAVm, Directory_IsForeign) {
  ASSERT_EQ(::mkdir((dir_ / "info").c_str(), 0700), 0);
  expect_foreign("info", O_RDONLY);
}

/// Such as a file that is mounted over one of the VM.
TEST(FilesOfAVmElsewhere, FileOfAnotherFileSystem_IsForeign) {
  const UniqueFd root{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  const auto fd = open_file_of_vm(root.get(), {"/", "proc/self/maps"}, O_RDONLY);
  ASSERT_FALSE(fd);
  EXPECT_THAT(fd.error().text, HasSubstr("it is not a file of that mount"));
}

} // namespace
} // namespace vmemfs::test
