// SPDX-License-Identifier: MIT
// The small Debian kernel of tests/guests/linux in a QEMU.
#pragma once

#include "support/child_process.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {

inline constexpr std::chrono::minutes kLinuxBoot{3};
inline constexpr const char* kLinuxIsUp = "secret:"; ///< on its serial port

/// Builds the guest's files if they are not there. code 0: they are; else the text says why not.
inline RunResult build_linux_guest() {
  const std::string source = VMEMFS_SOURCE_DIR;
  return run({source + "/tests/guests/linux/build", source + "/build/guests/linux"});
}

/// 512 MiB, and these options of QEMU.
inline GuestOptions linux_guest(std::vector<std::string> extra) {
  const std::string files = std::string{VMEMFS_SOURCE_DIR} + "/build/guests/linux";
  GuestOptions options;
  options.memory = "512M";
  options.kernel = false;
  options.extra = std::move(extra);
  for (const std::string& option :
       {std::string{"-kernel"}, files + "/vmlinuz", std::string{"-initrd"}, files + "/initrd.gz",
        std::string{"-append"}, std::string{"console=ttyS0 quiet"}}) {
    options.extra.push_back(option);
  }
  return options;
}

} // namespace vmemfs::test
