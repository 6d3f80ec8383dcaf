// SPDX-License-Identifier: MIT
// Parser of QEMU's `info registers -a` for x86: the registers of all vCPUs.
//
// Format (QEMU target/i386/cpu-dump.c): a block "CPU#N" for each vCPU; `RAX=...` with 16 digits if the vCPU
// runs 64-bit code, else `EAX=...` with 8 and no r8 to r15; segments as `CS =0010 BASE LIMIT FLAGS ...`;
// `GDT=     BASE LIMIT`; `EFER=...`. FPU and SSE lines are skipped.
//
// A value printed in 8 digits is truncated. 32-bit code has no wider general registers; but the bases of fs,
// gs, ldt and tr are absent from the result if this happens in long mode (32-bit code on a 64-bit kernel).
//
// FLAGS is the upper half of the segment's descriptor as QEMU caches it, and becomes the attributes of
// arch/x86_64/registers.h: bits 8 to 15 and 20 to 23 move down by 8, without loss. Bit 16 (unusable), which
// QEMU does not keep, is set if the segment is not present (P clear), as in QEMU's conversion to and from
// KVM's form. QEMU never prints cr8, star and the other MSRs: they stay absent.
//
// The text of other architectures has blocks of the same form, some with names that x86 has too (R10 to R15
// of 32-bit arm and s390x): a text without any register that only x86 has is refused as a whole.
//
// Pure functions, thread-safe. The text is not trusted.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"

#include <span>
#include <string_view>
#include <vector>

namespace vmemfs {

/// One set per vCPU, indexed by its number; a number that QEMU leaves out (an unplugged vCPU) has an empty
/// set. unsupported: the vCPUs are not x86. source_failed if the text has no vCPU or a value is malformed.
[[nodiscard]] Result<std::vector<RegisterSet>> parse_info_registers(std::string_view text);

/// Whether QEMU prints this register in 64-bit mode.
[[nodiscard]] bool has_register(RegisterIndex reg);

/// The sets of `vcpus`, in their order. not_found, from `origin`: `owner` has no such vCPU.
[[nodiscard]] Result<std::vector<RegisterSet>> pick_registers(std::span<const RegisterSet> sets,
                                                              std::span<const VcpuId> vcpus,
                                                              std::string_view origin,
                                                              std::string_view owner);

} // namespace vmemfs
