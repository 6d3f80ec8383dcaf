// SPDX-License-Identifier: MIT
// Firmware for test guests. It does nothing, so registers keep the values that a test sets.
//
// The first image enters 64-bit mode. CPU 0 spins at kLongModeSpin; its GDT has selectors 8 (64-bit code),
// 0x10 (data) and 0x18 (32-bit code). At kLongModeCounter there is a loop that increments the 8 bytes at rbx.
// Other CPUs wait for their SIPI. The first 2 MiB are identity-mapped. The second image spins in real mode,
// for KVM implementations that cannot run the steps to 64-bit mode.
#pragma once

#include <cstdint>
#include <string>

namespace vmemfs::qemu {

inline constexpr std::uint64_t kLongModeSpin = 0xf0100;
inline constexpr std::uint64_t kLongModeCounter = 0xf0110;

/// Images of 64 KiB for QEMU's -bios.
[[nodiscard]] std::string long_mode_firmware();
[[nodiscard]] std::string real_mode_firmware();

} // namespace vmemfs::qemu
