// SPDX-License-Identifier: MIT
// The search for a running Linux kernel, over memory that is written here.
#include "arch/x86_64/registers.h"
#include "vm/linux/kernel_finder.h"
#include "vm/linux/vmcoreinfo_search.h"
#include "vm/vm_fixture.h"

#include <chrono>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <span>
#include <string>

namespace vmemfs::test {
namespace {

using x86_64::Register;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 0x80;

/// A kernel of 4 MiB at 16 MiB, 2 MiB above what it was linked for; its page tables are the last page of the
/// second 2 MiB. The direct map begins at the top entry 273 + 7.
constexpr std::uint64_t kImage = 16 * kMiB;
constexpr std::uint64_t kImageAddress = 0xffffffff81000000;
constexpr std::uint64_t kSwapper = kImage + 4 * kMiB - 0x1000;
constexpr std::uint64_t kSwapperAddress = kImageAddress + 4 * kMiB - 0x1000;
constexpr std::uint64_t kDirectMap = 0xffff8c0000000000;
constexpr std::uint64_t kProcessRoot = 8 * kMiB;
constexpr std::uint64_t kPage = 40 * kMiB;

std::string text(std::int64_t phys_base = 0) {
  return fmt::format("OSRELEASE=6.1.0\nSYMBOL(swapper_pg_dir)={:x}\nSYMBOL(_stext)={:x}\n"
                     "NUMBER(phys_base)={}\n",
                     kSwapperAddress, kImageAddress, phys_base);
}

/// Tests do not depend on how fast they run.
constexpr KernelSearchLimits kNoLimits{.search = std::chrono::hours{1}, .examination = std::chrono::hours{1}};

class LinuxKernelTest : public testing::Test {
protected:
  LinuxKernelTest() {
    const std::uint64_t image_tables = 9 * kMiB;
    const std::uint64_t direct_tables = image_tables + 0x1000;
    const std::uint64_t large_pages = image_tables + 0x2000;
    for (const std::uint64_t table : {kSwapper, kProcessRoot, image_tables, direct_tables, large_pages}) {
      put(table, std::string(kPageSize - 1, '\0'));
    }
    for (const std::uint64_t root : {kSwapper, kProcessRoot}) {
      write(root + 511 * 8, image_tables | kPresent);
      write(root + 280 * 8, direct_tables | kPresent);
    }
    write(image_tables + 510 * 8, large_pages | kPresent);
    write(large_pages + 8 * 8, kImage | kLarge | kPresent);
    write(large_pages + 9 * 8, (kImage + 2 * kMiB) | kLarge | kPresent);
    write(direct_tables, 0 | kLarge | kPresent);
    vcpu.set(Register::cr0, 0x80050033);
    vcpu.set(Register::cr3, kProcessRoot | 0x123);
    vcpu.set(Register::cr4, 0x3506f0);
    vcpu.set(Register::efer, 0xd01);
  }

  static FakeOptions options() {
    FakeOptions options;
    options.size = kPage + kMiB;
    options.holes = {GpaRange{Gpa{0x9fc00}, Gpa{0x100000}}, // begins within a page
                     GpaRange{Gpa{kMiB}, Gpa{8 * kMiB}}, GpaRange{Gpa{21 * kMiB}, Gpa{39 * kMiB}}};
    options.bad = {GpaRange{Gpa{0x5000}, Gpa{0x6000}}};
    return options;
  }
  void write(std::uint64_t gpa, std::uint64_t value) const { fixture.write_word(gpa, value); }
  void put(std::uint64_t page, const std::string& content) const {
    ASSERT_TRUE(
        fixture.fake->guest_writes(Gpa{page}, std::as_bytes(std::span{content.c_str(), content.size() + 1})));
  }
  Result<LinuxKernel> find() { return finder.find({&vcpu, 1}); }
  [[nodiscard]] Result<LinuxKernel> find_anew(std::span<const RegisterSet> vcpus) const {
    LinuxKernelFinder fresh{fixture.vm->guest().memory(), kNoLimits};
    return fresh.find(vcpus);
  }

  VmFixture fixture{options()};
  LinuxKernelFinder finder{fixture.vm->guest().memory(), kNoLimits};
  RegisterSet vcpu{x86_64::register_layout()};
};

TEST_F(LinuxKernelTest, RunningKernel_IsFoundWithItsAddresses) {
  put(kPage, text());
  const auto kernel = find();
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->info.text, text());
  EXPECT_EQ(kernel->page, Gpa{kPage});
  EXPECT_EQ(kernel->direct_map, kDirectMap);
  EXPECT_EQ(kernel->image, (GpaRange{Gpa{kImage}, Gpa{kImage + 4 * kMiB}}));
  EXPECT_EQ(kernel->image_address, kImageAddress);
}

TEST_F(LinuxKernelTest, VcpuInUserSpaceWithIsolation_IsFound) {
  put(kPage, text());
  vcpu.set(Register::cr3, kProcessRoot + 0x1000); // has nothing of the kernel but how to get into it
  EXPECT_TRUE(find());
}

TEST_F(LinuxKernelTest, TextOfAFormerBoot_IsNotTaken) {
  put(kPage - kMiB, text(2 * kMiB));
  EXPECT_FALSE(find()) << "another place";
  put(kPage, text());
  vcpu.set(Register::cr3, 10 * kMiB);
  EXPECT_FALSE(find_anew({&vcpu, 1})) << "other page tables";
  vcpu.set(Register::cr3, kProcessRoot);
  const auto kernel = find_anew({&vcpu, 1});
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->page, Gpa{kPage}) << "the one that does not run comes first";
}

TEST_F(LinuxKernelTest, NoPagingOrNoVcpus_None) {
  put(kPage, text());
  vcpu.set(Register::cr0, 0x60000010);
  EXPECT_FALSE(find());
  EXPECT_FALSE(find_anew({}));
}

TEST_F(LinuxKernelTest, RegistersOfAXenPvDomain_TheReasonSaysSo) {
  put(kPage, text());
  RegisterSet paravirtual{x86_64::register_layout()};
  for (const Register reg : {Register::cr0, Register::cr3, Register::cr4, Register::ldt_base}) {
    paravirtual.set(reg, vcpu.get(reg).value_or(0));
  }
  const auto found = find_anew({&paravirtual, 1});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::no_data);
  EXPECT_THAT(found.error().text, testing::HasSubstr("Xen PV"));
}

TEST_F(LinuxKernelTest, GuestIsReset_IsForgotten) {
  put(kPage, text());
  ASSERT_TRUE(find());
  fixture.fake->reset();
  EXPECT_FALSE(find());
}

TEST_F(LinuxKernelTest, FoundAgain_WithoutASearch) {
  put(kPage, text());
  ASSERT_TRUE(find());
  const auto before = fixture.metrics->metrics().bytes;
  ASSERT_TRUE(find());
  EXPECT_LT(fixture.metrics->metrics().bytes - before, kMiB);
}

TEST_F(LinuxKernelTest, PageTablesNotOnAPage_None) {
  for (const unsigned low : {1U, 7U, 8U}) {
    put(kPage, fmt::format("OSRELEASE=6.1.0\nSYMBOL(swapper_pg_dir)={:x}\nNUMBER(phys_base)=0\n",
                           kSwapperAddress + low));
    EXPECT_FALSE(find_anew({&vcpu, 1})) << low;
  }
}

TEST_F(LinuxKernelTest, MemoryIsFullOfTexts_TheSearchEndsAndIsContinued) {
  for (std::uint64_t page = 0; page < 2 * VmcoreinfoSearch::kMaxExamined; ++page) {
    put(20 * kMiB + page * kPageSize, text(kMiB));
  }
  put(kPage, text());
  EXPECT_FALSE(find());
  EXPECT_FALSE(find());
  const auto kernel = find();
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->page, Gpa{kPage});
}

TEST_F(LinuxKernelTest, DirectMapIsUnclear_LeftOut) {
  put(kPage, text());
  write(9 * kMiB + 0x1000, 0x40000000 | kLarge | kPresent);
  const auto kernel = find();
  ASSERT_TRUE(kernel);
  EXPECT_FALSE(kernel->direct_map);
}

TEST_F(LinuxKernelTest, VmGone_None) {
  put(kPage, text());
  fixture.fake->die();
  EXPECT_FALSE(find());
}

} // namespace
} // namespace vmemfs::test
