// SPDX-License-Identifier: MIT
// The memory of a running domain, parsed from its description. Pure functions, thread-safe.
//
// Format: libvirt.org/formatdomain.html. The description is not trusted: whoever defined the domain controls
// it.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"
#include "core/vcpu_set.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::libvirt {

struct DomainDescription {
  std::string arch;               ///< x86_64, ...
  std::string machine;            ///< with its version, such as pc-q35-7.2
  std::uint64_t memory_bytes = 0; ///< all of it, memory devices included
  VcpuSet vcpus;                  ///< those that are plugged in
  bool vcpus_vary = false;        ///< some of them, or others, can be plugged in or unplugged
  std::vector<GpaRange> dimms;
  std::uint64_t max_memory = 0; ///< bytes, including what can still be plugged in
  std::uint64_t pci_hole = 0;   ///< bytes above 4 GiB that are requested for PCI devices
  std::uint64_t smm_memory = 0; ///< bytes that the firmware may reserve at the end of low memory
  /// Why reading through QEMU allocates memory that the guest has not touched; empty: it does not.
  std::string reading_allocates;
  /// Why the memory map cannot be computed from the rest: a memory device of another kind, options passed
  /// directly to QEMU. Empty: it can.
  std::string unknown;
};

/// invalid: it is not a description of a domain, or its numbers are nonsense.
[[nodiscard]] Result<DomainDescription> parse_domain_xml(std::string_view text);

/// Main memory as QEMU is known to place it for that machine type; only what is certain. unsupported if it is
/// not known; the error has the reason.
[[nodiscard]] Result<MemoryMap> map_by_description(const DomainDescription& domain);

} // namespace vmemfs::libvirt
