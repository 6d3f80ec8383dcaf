// SPDX-License-Identifier: MIT
// Firmware for test guests, which does nothing, so that registers stay what a test makes of them.
//
// The one enters 64-bit mode. CPU 0 spins at kLongModeSpin; its GDT has selectors 8 (64-bit code), 0x10
// (data) and 0x18 (32-bit code). At kLongModeCounter waits a loop that counts up the 8 bytes at rbx. Other
// CPUs wait for their SIPI. The first 2 MiB are mapped one to one. The other spins in real mode: KVM
// implementations that can't run the steps in between run that.
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
