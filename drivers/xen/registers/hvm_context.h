// SPDX-License-Identifier: MIT
// The records in which Xen saves the vCPUs of a PVH or HVM domain.
#pragma once

#include "core/gpa.h"
#include "drivers/xen/handles.h"

#include <cstdint>

extern "C" {
#include <xen/hvm/save.h>
}

namespace vmemfs::xen {

/// The record's number in Xen's interface, encoded there as the size of a member.
template <typename Record> inline constexpr std::uint16_t kRecordCode = 0;
template <> inline constexpr std::uint16_t kRecordCode<hvm_hw_cpu> = sizeof(__HVM_SAVE_TYPE_CPU::c);
template <> inline constexpr std::uint16_t kRecordCode<hvm_hw_lapic_regs> =
    sizeof(__HVM_SAVE_TYPE_LAPIC_REGS::c);
template <> inline constexpr std::uint16_t kRecordCode<hvm_hw_mtrr> = sizeof(__HVM_SAVE_TYPE_MTRR::c);

/// Fills `record`; busy: the vCPU is offline.
[[nodiscard]] Result<void> read_record(xc_interface* control, std::uint32_t domain, std::uint16_t code,
                                       VcpuId vcpu, void* record, std::uint32_t size);

template <typename Record>
[[nodiscard]] Result<Record> read_record(xc_interface* control, std::uint32_t domain, VcpuId vcpu) {
  Record record{};
  return read_record(control, domain, kRecordCode<Record>, vcpu, &record, sizeof(record)).map([&] {
    return record;
  });
}

/// Loads only this record, so that the rest of the domain's state is not set back.
[[nodiscard]] Result<void> write_cpu_record(xc_interface* control, std::uint32_t domain, VcpuId vcpu,
                                            const hvm_hw_cpu& cpu);

} // namespace vmemfs::xen
