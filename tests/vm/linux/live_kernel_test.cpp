// SPDX-License-Identifier: MIT
// Kernels of guests that run and whose registers are not known, over memory that is written here.
#include "made_kernel.h"
#include "vm/linux/live_kernel_finder.h"
#include "vm/vm_fixture.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

/// Tests do not depend on how fast they run.
constexpr KernelSearchLimits kNoLimits{
    .search = std::chrono::hours{1}, .examination = std::chrono::hours{1}, .proof = std::chrono::hours{1}};

class LiveKernelTest : public testing::Test {
protected:
  MadeKernel kernel(std::uint64_t base) {
    return MadeKernel{*fixture.fake, base, {.all_symbols = false, .aarch64 = true}};
  }
  std::string refusal() {
    const auto found = finder.find();
    return found ? "found" : found.error().text;
  }
  [[nodiscard]] std::uint64_t bytes_read() const { return fixture.metrics->metrics().bytes; }

  VmFixture fixture;
  LiveKernelFinder finder{fixture.vm->guest().memory(), kNoLimits};
};

TEST_F(LiveKernelTest, FoundAgain_IsProvenWithoutASearch) {
  const MadeKernel made = kernel(32 * kMiB);
  const auto first = finder.find();
  ASSERT_TRUE(first) << refusal();
  EXPECT_EQ(first->page, Gpa{made.page()});
  const auto before = bytes_read();
  const auto again = finder.find();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->proof, KernelProof::structures);
  EXPECT_EQ(again->image, first->image);
  EXPECT_LT(bytes_read() - before, kMiB);
  EXPECT_GT(bytes_read(), before) << "it may have ended";
}

TEST_F(LiveKernelTest, ItsVmcoreinfoIsNoLongerPointedTo_IsForgotten) {
  MadeKernel made = kernel(32 * kMiB);
  ASSERT_TRUE(finder.find()) << refusal();
  made.write(made.vmcoreinfo_data(), 0);
  EXPECT_THAT(refusal(), HasSubstr("no variable of the kernel points to it"));
}

TEST_F(LiveKernelTest, ItsListBreaks_IsForgotten) {
  MadeKernel made = kernel(32 * kMiB);
  ASSERT_TRUE(finder.find()) << refusal();
  made.write(made.task(2), 0x1234);
  made.write(made.task(5) + 8, 0x1234);
  EXPECT_THAT(refusal(), HasSubstr("the kernel's list of processes is broken"));
}

TEST_F(LiveKernelTest, AnotherKernelRunsNow_IsFound) {
  MadeKernel former = kernel(16 * kMiB);
  ASSERT_TRUE(finder.find()) << refusal();
  const MadeKernel later = kernel(32 * kMiB);
  former.write(former.vmcoreinfo_data(), 0);
  const auto found = finder.find();
  ASSERT_TRUE(found) << refusal();
  EXPECT_EQ(found->page, Gpa{later.page()});
}

TEST_F(LiveKernelTest, NoneFound_IsNotSearchedAgainAtOnce) {
  EXPECT_THAT(refusal(), HasSubstr("no VMCOREINFO"));
  const auto before = bytes_read();
  EXPECT_THAT(refusal(), HasSubstr("no VMCOREINFO"));
  EXPECT_EQ(bytes_read(), before);
}

} // namespace
} // namespace vmemfs::test
