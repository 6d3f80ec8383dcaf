// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/backing_file.h"
#include "support/files.h"
#include "support/forked_child.h"

#include <array>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <thread>
#include <unistd.h>

namespace vmemfs {
namespace {

struct Mapped {
  Process process;
  Vma vma;
};

std::optional<Mapped> map_here(const UniqueFd& fd, int protection, int flags) {
  void* const memory = ::mmap(nullptr, kPageSize, protection, flags, fd.get(), 0);
  const auto maps = read_own_maps();
  const Vma* const vma = maps ? find_vma(*maps, reinterpret_cast<Hva>(memory)) : nullptr;
  auto process = Process::open(::getpid());
  if (memory == MAP_FAILED || vma == nullptr || !process) {
    return std::nullopt;
  }
  return Mapped{std::move(*process), *vma};
}

TEST(BackingFile, Memfd_IsReadToItsEnd) {
  const UniqueFd fd{::memfd_create("some name", MFD_CLOEXEC)};
  ASSERT_EQ(::ftruncate(fd.get(), 10), 0);
  ASSERT_EQ(::pwrite(fd.get(), "abc", 3, 7), 3);
  const auto mapped = map_here(fd, PROT_READ, MAP_SHARED).value();
  const auto file = BackingFile::open(mapped.process, mapped.vma);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_TRUE(file->residency_known());
  EXPECT_FALSE(file->is_hugetlb());
  std::array<std::byte, 8> bytes{};
  const auto [done, os_errno] = file->read(6, bytes);
  EXPECT_EQ(done, 4U);
  EXPECT_EQ(os_errno, 0);
  EXPECT_EQ(std::memcmp(bytes.data(), "\0abc", 4), 0);
}

/// mincore() reports all pages of a file as resident to a process that neither owns nor may write it.
TEST(BackingFile, ForeignReadOnlyFile_ResidencyIsUnknown) {
  EXPECT_TRUE(unprivileged([] {
    const UniqueFd foreign{::open("/bin/sh", O_RDONLY | O_CLOEXEC)};
    const auto mapped = map_here(foreign, PROT_READ, MAP_SHARED);
    const auto file = mapped ? BackingFile::open(mapped->process, mapped->vma)
                             : fail(ErrorKind::invalid, "test", "not mapped");
    return file && !file->residency_known();
  }));
}

TEST(BackingFile, MapFilesDenied_DescriptorIsUsed) {
  EXPECT_TRUE(unprivileged([] {
    const UniqueFd fd{::memfd_create("mine", MFD_CLOEXEC)};
    if (::ftruncate(fd.get(), 4096) != 0) {
      return false;
    }
    const auto mapped = map_here(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    const auto file = mapped ? BackingFile::open(mapped->process, mapped->vma)
                             : fail(ErrorKind::invalid, "test", "not mapped");
    return file && file->way() == "fd " + std::to_string(fd.get()) && file->residency_known();
  }));
}

TEST(BackingFile, NoDescriptor_IsRefusedWithTheRemedy) {
  EXPECT_TRUE(unprivileged([] {
    UniqueFd fd{::open("/bin/sh", O_RDONLY | O_CLOEXEC)};
    const auto mapped = map_here(fd, PROT_READ, MAP_PRIVATE);
    fd.reset();
    const auto file = mapped ? BackingFile::open(mapped->process, mapped->vma)
                             : fail(ErrorKind::invalid, "test", "not mapped");
    return !file && file.error().text.find("CAP_CHECKPOINT_RESTORE") != std::string::npos;
  }));
}

/// A file on a new filesystem, whose number is that of the first file on any other. Returns its descriptor,
/// or less than 0.
int make_first_file(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0755) != 0 ||
      ::mount("tmpfs", directory.c_str(), "tmpfs", 0, nullptr) != 0) {
    return -1;
  }
  const int file = ::open((directory + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return ::ftruncate(file, kPageSize) == 0 ? file : -1;
}

/// The process has mapped one of two files with the same number, and has put a link to the other one where
/// the name of the first leads to in its root directory.
TEST(BackingFile, NameInTheRootOfTheProcess_IsNotFollowed) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "mounting takes root";
  }
  const test::TempDir dir;
  const std::string root = dir / "root";
  std::filesystem::create_directory(root);
  const ForkedChild child{[&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return ChildValues{};
    }
    const UniqueFd mine{make_first_file(dir / "mine")};
    const UniqueFd secret{make_first_file(root + "/secret")};
    void* const memory = ::mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, mine.get(), 0);
    return ::chroot(root.c_str()) == 0 && secret
               ? ChildValues{reinterpret_cast<std::uint64_t>(memory), 0, 0, 0}
               : ChildValues{};
  }};
  const auto maps = read_maps(*child.space());
  const Vma* const vma = maps ? find_vma(*maps, child.value(0)) : nullptr;
  ASSERT_NE(vma, nullptr);
  const std::filesystem::path link = root + vma->path;
  std::filesystem::create_directories(link.parent_path());
  std::string target = "secret/file";
  for (auto up = link.parent_path(); up != root; up = up.parent_path()) {
    target.insert(0, "../");
  }
  std::filesystem::create_symlink(target, link);
  Vma unmapped = *vma; // in the moment between reading maps and opening the file
  unmapped.range = {vma->range.begin + kPageSize, vma->range.end + kPageSize};
  const auto file = BackingFile::open(*child.process(), unmapped);
  ASSERT_FALSE(file) << file->way();
  EXPECT_EQ(file.error().kind, ErrorKind::unsupported);
}

/// The child exchanges a descriptor for a pipe all the time.
TEST(BackingFile, DescriptorThatIsExchanged_NothingElseIsOpened) {
  const test::TempDir dir;
  const std::string pipe = dir / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const ForkedChild child{[&] {
    const int shown = ::dup(0); // the lowest number, so that it is looked at first
    const int memory = ::memfd_create("memory", MFD_CLOEXEC);
    const int fifo = ::open(pipe.c_str(), O_PATH | O_CLOEXEC);
    static_cast<void>(::ftruncate(memory, kPageSize));
    void* const page = ::mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, memory, 0);
    std::thread{[=] {
      for (;;) {
        ::dup2(fifo, shown);
        ::dup2(memory, shown);
      }
    }}.detach();
    return ChildValues{reinterpret_cast<std::uint64_t>(page), 0, 0, 0};
  }};
  const auto maps = read_maps(*child.space());
  const Vma* const vma = maps ? find_vma(*maps, child.value(0)) : nullptr;
  ASSERT_NE(vma, nullptr);
  Vma searched = *vma; // not in map_files
  searched.range = {vma->range.begin + kPageSize, vma->range.end + kPageSize};
  const UniqueFd opened{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
  ASSERT_GE(::inotify_add_watch(opened.get(), pipe.c_str(), IN_OPEN), 0);
  const auto process = child.process();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{2};
  while (std::chrono::steady_clock::now() < end) {
    static_cast<void>(BackingFile::open(*process, searched));
  }
  std::array<char, 4096> events{};
  EXPECT_LT(::read(opened.get(), events.data(), events.size()), 0) << "the pipe was opened";
}

/// A maps line of a device mapping.
TEST(BackingFile, Device_IsNotOpened) {
  struct stat info {};
  ASSERT_EQ(::stat("/dev/null", &info), 0);
  Vma vma;
  vma.range = {0x10000, 0x20000};
  vma.device_major = major(info.st_dev);
  vma.device_minor = minor(info.st_dev);
  vma.inode = info.st_ino;
  vma.path = "/dev/null";
  const UniqueFd open{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  const auto file = BackingFile::open(Process::open(::getpid()).value(), vma);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::unsupported);
  EXPECT_EQ(file.error().text, "/dev/null is not a regular file");
}

/// Opening it again is forbidden by its mode; the open descriptor can be duplicated.
TEST(BackingFile, ModeForbidsOpen_DescriptorIsDuplicated) {
  EXPECT_TRUE(unprivileged([] {
    const UniqueFd fd{::memfd_create("closed", MFD_CLOEXEC)};
    if (::ftruncate(fd.get(), 4096) != 0 || ::fchmod(fd.get(), 0) != 0) {
      return false;
    }
    const auto mapped = map_here(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
    const auto file = mapped ? BackingFile::open(mapped->process, mapped->vma)
                             : fail(ErrorKind::invalid, "test", "not mapped");
    return file && file->way() == "pidfd_getfd " + std::to_string(fd.get());
  }));
}

} // namespace
} // namespace vmemfs
