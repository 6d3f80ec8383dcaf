// SPDX-License-Identifier: MIT
// `core` of a guest that runs Linux: its VMCOREINFO and its kernel's virtual addresses, found in memory
// alone. The truth is QEMU's own walk of the page tables, and what the guest prints of itself.
#include "elf_file.h"
#include "linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::uint64_t kKernel =
    0xff00000000000000; ///< all addresses of the kernel are above, with five levels too

class LinuxCore : public LinuxGuestTest {
protected:
  [[nodiscard]] std::string path() const { return *mount_ / "vm/core"; }
  /// Headers and notes; the memory is far behind.
  [[nodiscard]] ElfFile core() const {
    constexpr std::size_t kEnough = std::size_t{64} << 10U;
    const UniqueFd file{::open(path().c_str(), O_RDONLY | O_CLOEXEC)};
    const auto read = pread_at(file.get(), 0, kEnough);
    EXPECT_EQ(read.error, 0);
    return ElfFile{{reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size()}};
  }
  /// 8 bytes at a virtual address, by QEMU.
  [[nodiscard]] std::string by_qemu(std::uint64_t address) {
    const std::string text = guest_->monitor().human(fmt::format("x /1xg {:#x}", address));
    return text.substr(text.find(": ") + 2, 18);
  }
  [[nodiscard]] std::string in_file(std::uint64_t offset) const {
    const UniqueFd file{::open(path().c_str(), O_RDONLY | O_CLOEXEC)};
    const auto read = pread_at(file.get(), offset, sizeof(std::uint64_t));
    std::uint64_t value = 0;
    std::memcpy(&value, read.bytes.data(), std::min(read.bytes.size(), sizeof value));
    return fmt::format("{:#018x}", value);
  }
  /// Segments with virtual addresses of the kernel.
  [[nodiscard]] static std::vector<Elf64_Phdr> kernel_segments(const ElfFile& core) {
    auto segments = core.headers(PT_LOAD);
    std::erase_if(segments, [](const Elf64_Phdr& load) { return load.p_vaddr < kKernel; });
    return segments;
  }
  void expect_running_kernel() {
    const ElfFile now = core();
    const auto notes = now.notes("VMCOREINFO");
    ASSERT_EQ(notes.size(), 1U);
    const std::string banner = line_with(guest_->serial(), "banner: Linux version ");
    const std::string release = notes[0].substr(0, notes[0].find('\n')).substr(sizeof "OSRELEASE=" - 1);
    EXPECT_THAT(banner, HasSubstr("Linux version " + release + " "));
    const auto segments = kernel_segments(now);
    ASSERT_EQ(segments.size(), 2U) << "the direct map and the kernel's image";
    for (const Elf64_Phdr& segment : segments) {
      EXPECT_EQ(segment.p_memsz, segment.p_filesz + 4096);
      for (std::uint64_t at = 0; at < 8; ++at) {
        const std::uint64_t offset = segment.p_filesz / 8 * at & ~7ULL;
        const std::string truth = by_qemu(segment.p_vaddr + offset);
        if (truth.starts_with(
                "0x")) { // else a page that the kernel has unmapped, such as that of its first steps
          EXPECT_EQ(in_file(segment.p_offset + offset), truth) << std::hex << segment.p_vaddr + offset;
        }
      }
      EXPECT_THAT(by_qemu(segment.p_vaddr + segment.p_filesz / 2), StartsWith("0x"));
    }
  }
};

TEST_F(LinuxCore, RunningKernel_IsDescribed_AndTheFormerOneAfterAReset_IsNot) {
  guest_->pause();
  ASSERT_NO_FATAL_FAILURE(expect_running_kernel());
  const auto readelf = run({"readelf", "-hlnW", path()});
  EXPECT_EQ(readelf.code, 0);
  EXPECT_THAT(readelf.text, Not(testing::AnyOf(HasSubstr("Warning"), HasSubstr("Error"))));
  const std::string before = core().notes("VMCOREINFO")[0];
  const auto size = std::filesystem::file_size(path());

  guest_->monitor().execute("system_reset"); // memory keeps what it has
  EXPECT_TRUE(core().notes("VMCOREINFO").empty());
  EXPECT_TRUE(kernel_segments(core()).empty());
  EXPECT_EQ(std::filesystem::file_size(path()), size) << "it does not depend on what runs";

  guest_->resume();
  ASSERT_TRUE(eventually([&] { return !core().notes("VMCOREINFO").empty(); }, kLinuxBoot));
  guest_->pause();
  ASSERT_NO_FATAL_FAILURE(expect_running_kernel());
  EXPECT_NE(core().notes("VMCOREINFO")[0], before) << "the kernel lies elsewhere at each boot";
}

/// makedumpfile reads the kernel's own structures by the core's VMCOREINFO and addresses, to leave out pages.
/// It also leaves out the page behind the kernel's image, which the program header of the image claims
/// without having it.
TEST_F(LinuxCore, Makedumpfile_PacksIt_AndWhatItWrote_IsRead) {
  guest_->pause();
  const TempDir dir;
  const auto pack = [&](const std::string& options) {
    std::string file = dir / "kdump";
    const auto packed =
        run({"/bin/sh", "-c", fmt::format("makedumpfile {} '{}' '{}'", options, path(), file)});
    EXPECT_EQ(packed.code, 0) << packed.text;
    return file;
  };
  const auto segments = kernel_segments(core());
  ASSERT_EQ(segments.size(), 2U);
  const std::uint64_t left_out = segments.back().p_paddr + segments.back().p_filesz;
  constexpr std::uint64_t kPage = 4096;
  for (const char* const codec : {"-c", "-l"}) { // zlib and LZO
    const Mount saved{{"--vm", fmt::format("vm=dump:path={}", pack(fmt::format("{} -d 0", codec)))}};
    const UniqueFd memory{::open((saved / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    const auto expect_truth = [&](std::uint64_t begin, std::uint64_t size) {
      EXPECT_TRUE(pread_at(memory.get(), begin, size).bytes == guest_->pmemsave(begin, size))
          << codec << std::hex << begin;
    };
    constexpr std::uint64_t kPart = std::uint64_t{1} << 20U;
    for (std::uint64_t gpa = kPart; gpa < std::uint64_t{512} << 20U; gpa += 51 * kPart) {
      if (gpa != left_out) { // it is where a part may begin
        expect_truth(gpa, kPart);
      }
    }
    EXPECT_EQ(pread_at(memory.get(), left_out, kPage).error, EIO) << "an error, and not zeros";
    expect_truth(left_out - kPart, kPart);
    expect_truth(left_out + kPage, kPart - kPage);
    std::filesystem::remove(dir / "kdump");
  }
  const std::string file = pack("-f -l -d 31"); // only what the kernel uses
  EXPECT_LT(std::filesystem::file_size(file), std::uint64_t{100} << 20U);
}

} // namespace
} // namespace vmemfs::test
