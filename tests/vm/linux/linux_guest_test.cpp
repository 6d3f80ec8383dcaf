// SPDX-License-Identifier: MIT
// What is known of a guest's kernel while its registers do not come, over memory that is written here.
#include "arch/x86_64/registers.h"
#include "driver/decorators/forwarding_driver.h"
#include "made_kernel.h"
#include "util/work_limit.h"
#include "vm/linux/linux_guest.h"
#include "vm/vm_fixture.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <utility>

namespace vmemfs::test {
namespace {

using x86_64::Register;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

/// Whose registers can be made to take as long as the caller waits.
class SilentDriver final : public ForwardingDriver, RegisterReader {
public:
  SilentDriver(std::unique_ptr<Driver> inner, std::atomic<bool>& silent)
      : ForwardingDriver{std::move(inner)}, silent_{silent} {}

  RegisterReader* register_reader() override { return this; }

private:
  const RegisterLayout& register_layout() const override { return x86_64::register_layout(); }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override {
    if (!silent_) {
      return inner().register_reader()->read_registers(vcpus);
    }
    if (!WorkLimit::in_force()) {
      return fail(ErrorKind::timed_out, "silent", "the VM's own limit is reached");
    }
    while (!WorkLimit::over()) {
    }
    return WorkLimit::exceeded("silent");
  }

  std::atomic<bool>& silent_;
};

class LinuxGuestOfSilentVm : public testing::Test {
protected:
  LinuxGuestOfSilentVm() {
    const std::array<RegisterValue, 3> values{RegisterValue{Register::cr0, 0x80050033},
                                              RegisterValue{Register::cr3, made.root()},
                                              RegisterValue{Register::cr4, 0x3506f0}};
    EXPECT_TRUE(fixture.vm->guest().write_registers(VcpuId{0}, values));
  }
  LinuxGuest& guest() { return *fixture.vm->guest().linux_guest(); }

  std::atomic<bool> silent{false};
  VmFixture fixture{
      {}, {.writable = true}, {}, [this](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
        return std::make_unique<SilentDriver>(std::move(inner), silent);
      }};
  MadeKernel made{*fixture.fake, 16 * kMiB};
};

TEST_F(LinuxGuestOfSilentVm, KernelWasFound_AListingHasIt) {
  const auto found = guest().kernel();
  ASSERT_TRUE(found);
  silent = true;
  const auto listed = guest().kernel_to_list();
  ASSERT_TRUE(listed);
  EXPECT_EQ(*listed, *found);
  EXPECT_EQ(guest().kernel().error().kind, ErrorKind::timed_out) << "else it has to be proven";
  EXPECT_EQ(guest().known(), *found) << "it may run on";
}

TEST_F(LinuxGuestOfSilentVm, NoKernelWasFound_AListingHasNone) {
  silent = true;
  EXPECT_EQ(guest().kernel_to_list().error().kind, ErrorKind::timed_out);
  silent = false;
  EXPECT_TRUE(guest().kernel_to_list());
}

TEST_F(LinuxGuestOfSilentVm, VmAnswersAndRunsNoKernel_TheFormerOneIsNotListed) {
  ASSERT_TRUE(guest().kernel());
  made.write(made.page(), 0);
  EXPECT_EQ(guest().kernel_to_list().error().kind, ErrorKind::no_data);
  silent = true;
  EXPECT_FALSE(guest().kernel_to_list());
}

} // namespace
} // namespace vmemfs::test
