// SPDX-License-Identifier: MIT
// Kernels in memory without registers, over memory that is written here.
#include "made_kernel.h"
#include "vm/linux/kernel_facts.h"
#include "vm/linux/saved_kernel_finder.h"
#include "vm/linux/vmcoreinfo_search.h"
#include "vm/vm_fixture.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kFormer = 16 * kMiB;
constexpr std::uint64_t kLater = 32 * kMiB;

/// Tests do not depend on how fast they run.
constexpr KernelSearchLimits kNoLimits{
    .search = std::chrono::hours{1}, .examination = std::chrono::hours{1}, .proof = std::chrono::hours{1}};

class SavedKernelTest : public testing::Test {
protected:
  MadeKernel kernel(std::uint64_t base, const MadeKernelOptions& options = {}) {
    return MadeKernel{*fixture.fake, base, options};
  }
  Result<LinuxKernel> find() { return finder.find(); }
  std::string refusal() {
    const auto found = find();
    return found ? "found" : found.error().text;
  }
  [[nodiscard]] std::uint64_t bytes_read() const { return fixture.metrics->metrics().bytes; }

  VmFixture fixture;
  SavedKernelFinder finder{fixture.vm->guest().memory(), kNoLimits};
};

TEST_F(SavedKernelTest, OneKernel_IsProvenByItsStructures) {
  const MadeKernel made = kernel(kLater);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->proof, KernelProof::structures);
  EXPECT_EQ(found->page, Gpa{made.page()});
  EXPECT_EQ(found->direct_map, MadeKernel::kDirectMap);
  EXPECT_EQ(found->image, (GpaRange{Gpa{made.image()}, Gpa{made.image() + 4 * kMiB}}));
}

TEST_F(SavedKernelTest, FiveLevelsByVmcoreinfo_IsFound) {
  MadeKernelOptions options;
  options.five_levels = true;
  kernel(kLater, options);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->proof, KernelProof::structures);
  EXPECT_EQ(levels_of(found->paging), 5U);
}

TEST_F(SavedKernelTest, FormerKernelWithABrokenRing_IsRefused) {
  MadeKernel former = kernel(kFormer);
  const MadeKernel later = kernel(kLater);
  former.write(former.task(2), 0x1234);
  former.write(former.task(5) + 8, 0x1234);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->page, Gpa{later.page()}) << "the other one comes first";
}

TEST_F(SavedKernelTest, FormerKernelWithoutItsVmcoreinfo_IsRefused) {
  MadeKernel former = kernel(kFormer);
  const MadeKernel later = kernel(kLater);
  former.write(former.vmcoreinfo_data(), 0);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->page, Gpa{later.page()});
}

TEST_F(SavedKernelTest, CopyOfTheVmcoreinfo_DoesNotCount) {
  MadeKernel made = kernel(kLater);
  made.write_vmcoreinfo(8 * kMiB);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->page, Gpa{made.page()});
}

TEST_F(SavedKernelTest, TwoKernelsAreProven_NoneIsTaken) {
  kernel(kFormer);
  kernel(kLater);
  EXPECT_THAT(refusal(), HasSubstr("2 Linux kernels in memory may be the one that ran"));
  EXPECT_THAT(refusal(), HasSubstr("6.1.0 with its VMCOREINFO at 0x2c00000"));
  EXPECT_THAT(refusal(), HasSubstr("6.1.0 with its VMCOREINFO at 0x1c00000"));
}

TEST_F(SavedKernelTest, RingIsBroken_TheReasonSaysSo) {
  MadeKernel made = kernel(kLater);
  made.write(made.task(2), 0x1234);
  made.write(made.task(5) + 8, 0x1234);
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(SavedKernelTest, RingThatDoesNotLeadBack_IsRefused) {
  MadeKernel made = kernel(kLater);
  made.write(made.task(9), MadeKernel::kDirectMap + made.task(3));
  made.write(made.task(3) + 8, MadeKernel::kDirectMap + made.task(9));
  made.write(made.task(6) + 8, MadeKernel::kDirectMap + made.task(8));
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(SavedKernelTest, FewElementsAreTorn_IsFound) {
  MadeKernel made = kernel(kLater);
  for (const unsigned index : {3U, 9U}) { // as of processes that ended while memory was copied
    made.write(made.task(index) + 8, 0xdead000000000122);
  }
  EXPECT_TRUE(find()) << refusal();
}

TEST_F(SavedKernelTest, ManyElementsAreTorn_IsRefused) {
  MadeKernel made = kernel(kLater);
  for (const unsigned index : {3U, 6U, 9U}) {
    made.write(made.task(index) + 8, 0xdead000000000122);
  }
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(SavedKernelTest, ElementThatIsNoProcess_IsRefused) {
  MadeKernel made = kernel(kLater);
  made.write(made.task(4) + 64, 0);
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(SavedKernelTest, NoProcesses_IsRefused) {
  MadeKernelOptions options;
  options.tasks = 0;
  kernel(kLater, options);
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(SavedKernelTest, KernelWithoutTypes_IsProvenByVmcoreinfoAlone) {
  MadeKernelOptions options;
  options.types = false;
  kernel(kLater, options);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->proof, KernelProof::vmcoreinfo);
}

TEST_F(SavedKernelTest, TypesAreDamaged_IsRefused) {
  MadeKernel made = kernel(kLater);
  made.write(made.types(), 0x1234);
  EXPECT_NE(refusal(), "found");
}

TEST_F(SavedKernelTest, NoDataSymbols_IsProvenByWhatTheImageHas) {
  MadeKernelOptions options;
  options.all_symbols = false;
  const MadeKernel made = kernel(kLater, options);
  const auto found = find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->proof, KernelProof::structures);
  KernelFacts facts{fixture.vm->guest().memory(), *found};
  EXPECT_EQ(**facts.banner(), "Linux version 6.1.0 (who@where) #1 (made)\n");
  EXPECT_EQ(facts.memory().translate(**facts.idle_task()), Gpa{made.idle_task()});
  EXPECT_FALSE(facts.has_data_symbols());
  EXPECT_FALSE(facts.vmlinux());
  EXPECT_THAT(facts.module_symbols().value_or(""), HasSubstr("# incomplete: without the symbols of modules"));
}

TEST_F(SavedKernelTest, NoDataSymbolsAndNoTypes_IsRefused) {
  MadeKernelOptions options;
  options.all_symbols = false;
  options.types = false;
  kernel(kLater, options);
  EXPECT_THAT(refusal(), HasSubstr("the kernel's image has no types"));
}

TEST_F(SavedKernelTest, NoDataSymbolsAndNoPointerToVmcoreinfo_IsRefused) {
  MadeKernelOptions options;
  options.all_symbols = false;
  MadeKernel made = kernel(kLater, options);
  made.write(made.vmcoreinfo_data(), 0);
  EXPECT_THAT(refusal(), HasSubstr("no variable of the kernel points to it"));
}

TEST_F(SavedKernelTest, NoDataSymbolsAndABrokenRing_IsRefused) {
  MadeKernelOptions options;
  options.all_symbols = false;
  MadeKernel made = kernel(kLater, options);
  made.write(made.task(2), 0x1234);
  made.write(made.task(5) + 8, 0x1234);
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(SavedKernelTest, Aarch64_IsProvenByItsStructures) {
  for (const bool all_symbols : {true, false}) {
    SCOPED_TRACE(all_symbols);
    MadeKernelOptions options;
    options.aarch64 = true;
    options.all_symbols = all_symbols;
    const MadeKernel made = kernel(kLater, options);
    SavedKernelFinder fresh{fixture.vm->guest().memory(), kNoLimits};
    const auto found = fresh.find();
    ASSERT_TRUE(found) << found.error().text;
    EXPECT_EQ(found->architecture->name(), "aarch64");
    EXPECT_EQ(found->proof, KernelProof::structures);
    EXPECT_EQ(levels_of(found->paging), 4U);
    EXPECT_EQ(found->direct_map, MadeKernel::kDirectMap);
    constexpr std::uint64_t kHeader = 65536;
    EXPECT_EQ(found->image, (GpaRange{Gpa{made.image() - kHeader}, Gpa{made.image() + 4 * kMiB}}));
  }
}

TEST_F(SavedKernelTest, BannerOfAnotherRelease_IsRefused) {
  MadeKernel made = kernel(kLater);
  made.write(made.banner() + 14, 0x1234);
  EXPECT_THAT(refusal(), HasSubstr("linux_banner"));
}

TEST_F(SavedKernelTest, NamesOfAnotherRelease_IsRefused) {
  MadeKernel made = kernel(kLater);
  made.write(made.release(), 0x1234);
  EXPECT_THAT(refusal(), HasSubstr("init_uts_ns"));
}

TEST_F(SavedKernelTest, PageTablesMapTheImageElsewhere_IsRefused) {
  MadeKernel made = kernel(kLater);
  for (std::uint64_t entry = 0; entry < 512; ++entry) {
    made.write(made.image_entries() + entry * 8, 0);
  }
  EXPECT_THAT(refusal(), HasSubstr("none has page tables"));
}

TEST_F(SavedKernelTest, Found_IsRemembered) {
  kernel(kLater);
  ASSERT_TRUE(find());
  const auto before = bytes_read();
  EXPECT_TRUE(find());
  EXPECT_EQ(bytes_read(), before);
}

TEST_F(SavedKernelTest, NoKernel_IsSearchedOnce) {
  EXPECT_THAT(refusal(), HasSubstr("no VMCOREINFO"));
  const auto before = bytes_read();
  EXPECT_THAT(refusal(), HasSubstr("no VMCOREINFO"));
  EXPECT_EQ(bytes_read(), before);
}

TEST_F(SavedKernelTest, MemoryIsFullOfTexts_TheSearchIsContinued) {
  kernel(kLater);
  for (unsigned page = 0; page < 2 * VmcoreinfoSearch::kMaxExamined; ++page) {
    ASSERT_TRUE(fixture.fake->guest_writes(Gpa{kFormer + page * kPageSize},
                                           std::as_bytes(std::span{"OSRELEASE=none\n"})));
  }
  EXPECT_THAT(refusal(), HasSubstr("16 of 64 MiB are searched"));
  EXPECT_THAT(refusal(), HasSubstr("it goes on at the next read"));
  EXPECT_TRUE(find());
}

TEST_F(SavedKernelTest, TooManyKernels_NoneIsExamined) {
  MadeKernel made = kernel(kLater);
  for (unsigned page = 0; page < SavedKernelFinder::kMaxKernels; ++page) {
    made.write_vmcoreinfo(kFormer + page * kPageSize);
  }
  EXPECT_THAT(refusal(), HasSubstr("more than 16 Linux kernels"));
}

TEST_F(SavedKernelTest, VmGone_None) {
  kernel(kLater);
  fixture.fake->die();
  EXPECT_THAT(refusal(), HasSubstr("cannot be read"));
}

} // namespace
} // namespace vmemfs::test
