// SPDX-License-Identifier: MIT
// `linux/` of a Linux guest whose registers are KVM's own. Linux takes a KVM with hardware support, which the
// lab has (tests/kvm_lab): it names the guest's files.
#include "e2e/linux/kernel_files.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {
namespace {

class KvmLinux : public KernelFiles {
protected:
  void SetUp() override {
    if (std::getenv("VMEMFS_LINUX_GUEST") == nullptr) {
      GTEST_SKIP() << "only in the lab: Linux takes a KVM with hardware support";
    }
    GuestOptions options = linux_guest({"-cpu", "host"}, "mitigations=off vmemfs.truth");
    options.accel = "kvm";
    options.memory = "256M";
    guest_ = std::make_unique<QemuGuest>(options);
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=kvm:pid={}", guest_->pid())});
    ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
  }
};

/// Value of a register in the text of `regs`.
std::uint64_t value_of(const std::string& registers, const std::string& name) {
  const std::size_t at = ("\n" + registers).find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::stoull(registers.substr(at + name.size() + 1), nullptr, 16);
}

std::uint64_t address_of(const std::string& symbol, const std::string& system_map) {
  const std::size_t at = system_map.find(" " + symbol + "\n");
  return at == std::string::npos
             ? 0
             : std::stoull(system_map.substr(system_map.rfind('\n', at) + 1), nullptr, 16);
}

// One boot for all of it: it takes 20 s there.
TEST_F(KvmLinux, FilesRegistersAndPause) {
  expect_files_of_the_kernel();

  // Its one vCPU idles nearly always.
  const std::string symbols = read_file(path("System.map"));
  const std::uint64_t begin = address_of("_stext", symbols);
  const std::uint64_t end = address_of("_etext", symbols);
  ASSERT_LT(begin, end);
  const auto registers = [&] { return read_file(*mount_ / "vm/vcpus/0/regs"); };
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t rip = value_of(registers(), "rip");
    return rip >= begin && rip < end;
  })) << registers();

  // It starts a program each second, but not while it is paused.
  const auto processes = [&] {
    const std::string list = read_file(path("ps")); // blanks may follow
    return list.substr(0, list.find_last_not_of(" \n") + 1);
  };
  ASSERT_EQ(try_write(*mount_ / "vm/control", "pause\n"), 0) << mount_->log();
  const std::string first = processes();
  EXPECT_THAT(first, testing::HasSubstr("# complete: "));
  std::this_thread::sleep_for(std::chrono::seconds{3});
  EXPECT_EQ(processes(), first);
  ASSERT_EQ(try_write(*mount_ / "vm/control", "resume\n"), 0) << mount_->log();
  EXPECT_TRUE(eventually([&] { return processes() != first; })) << first;
}

} // namespace
} // namespace vmemfs::test
