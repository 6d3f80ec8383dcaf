// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/backing_file.h"
#include "support/forked_child.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <optional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace vmemfs {
namespace {

struct Mapped {
  Process process;
  Vma vma;
};

std::optional<Mapped> map_here(const UniqueFd& fd, int protection, int flags) {
  void* const memory = ::mmap(nullptr, kPageSize, protection, flags, fd.get(), 0);
  const auto maps = read_maps(::getpid());
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

TEST(BackingFile, NoDescriptor_PathIsUsed) {
  EXPECT_TRUE(unprivileged([] {
    UniqueFd fd{::open("/bin/sh", O_RDONLY | O_CLOEXEC)};
    const auto mapped = map_here(fd, PROT_READ, MAP_PRIVATE);
    fd.reset();
    const auto file = mapped ? BackingFile::open(mapped->process, mapped->vma)
                             : fail(ErrorKind::invalid, "test", "not mapped");
    return file && file->way() == "path";
  }));
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
