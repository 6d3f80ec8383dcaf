// SPDX-License-Identifier: MIT
// The small Debian kernel of tests/guests/linux in a QEMU.
#pragma once

#include "support/child_process.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {

inline constexpr std::chrono::minutes kLinuxBoot{3};
inline constexpr const char* kLinuxIsUp = "secret:"; ///< on its serial port

/// Directory of its files; VMEMFS_LINUX_GUEST in the environment names another, for one with another kernel.
inline std::string linux_guest_files() {
  const char* const other = std::getenv("VMEMFS_LINUX_GUEST");
  return other != nullptr ? other : std::string{VMEMFS_SOURCE_DIR} + "/build/guests/linux";
}

/// Builds the guest's files if they are not there. code 0: they are; else the text says why not.
inline RunResult build_linux_guest() {
  return run({std::string{VMEMFS_SOURCE_DIR} + "/tests/guests/linux/build", linux_guest_files()});
}

/// 512 MiB, these options of QEMU, and these words on the kernel's command line.
inline GuestOptions linux_guest(std::vector<std::string> extra, const std::string& words = "") {
  const std::string files = linux_guest_files();
  GuestOptions options;
  options.memory = "512M";
  options.kernel = false;
  options.extra = std::move(extra);
  for (const std::string& option :
       {std::string{"-kernel"}, files + "/vmlinuz", std::string{"-initrd"}, files + "/initrd.gz",
        std::string{"-append"}, "console=ttyS0 quiet " + words}) {
    options.extra.push_back(option);
  }
  return options;
}

/// The same of Debian's kernel for arm64, which has no symbols of data (CONFIG_KALLSYMS_ALL).
inline std::string aarch64_guest_files() {
  return std::string{VMEMFS_SOURCE_DIR} + "/build/guests/linux-arm64";
}
inline RunResult build_aarch64_guest() {
  return run({std::string{VMEMFS_SOURCE_DIR} + "/tests/guests/linux/build", aarch64_guest_files(), "arm64"});
}
inline GuestOptions aarch64_guest(const std::string& words) {
  const std::string files = aarch64_guest_files();
  GuestOptions options;
  options.program = "qemu-system-aarch64";
  options.machine = "virt";
  options.memory = "512M";
  options.kernel = false;
  // Less to emulate than with the CPU that has everything.
  options.extra = {"-cpu",    "cortex-a57",
                   "-smp",    "2",
                   "-kernel", files + "/vmlinuz",
                   "-initrd", files + "/initrd.gz",
                   "-append", "console=ttyAMA0 quiet " + words};
  return options;
}

/// What the guest says of itself on its serial port after `vmemfs-linux OF: `, a line each.
inline std::vector<std::string> linux_truths(const std::string& serial, const std::string& of) {
  const std::string words = "vmemfs-linux " + of + ": ";
  std::vector<std::string> found;
  std::istringstream lines{serial};
  for (std::string line; std::getline(lines, line);) {
    if (const std::size_t begin = line.find(words); begin != std::string::npos) {
      const std::size_t text = begin + words.size();
      found.push_back(line.substr(text, line.find_last_not_of('\r') + 1 - text));
    }
  }
  return found;
}

/// One with two vCPUs that has booted, attached as `vm`.
class LinuxGuestTest : public testing::Test {
protected:
  void SetUp() override {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    guest_ = std::make_unique<QemuGuest>(linux_guest({"-smp", "2", "-cpu", cpu()}));
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
    ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
  }

  /// As QEMU's option -cpu.
  [[nodiscard]] virtual std::string cpu() const { return "max"; }

  std::unique_ptr<QemuGuest> guest_;
  std::unique_ptr<Mount> mount_;
};

} // namespace vmemfs::test
