// SPDX-License-Identifier: MIT
// What the description of a running domain says of its memory. Pure functions, thread-safe.
//
// Format: libvirt.org/formatdomain.html. The description is not trusted: it is the work of whoever defined
// the domain.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::libvirt {

struct DomainDescription {
  std::string arch;               ///< x86_64, ...
  std::string machine;            ///< with its version: pc-q35-7.2
  std::uint64_t memory_bytes = 0; ///< all of it, memory devices included
  std::uint32_t vcpus = 0;
  std::vector<GpaRange> dimms;
  std::uint64_t max_memory = 0; ///< bytes, with what can still be plugged in
  std::uint64_t pci_hole = 0;   ///< bytes above 4 GiB that are asked for PCI devices
  std::uint64_t smm_memory = 0; ///< bytes that the firmware may keep to itself at the end of low memory
  /// Why reading through QEMU allocates what the guest has not touched; empty: it does not.
  std::string reading_allocates;
  /// What is there besides that makes the rest say too little: a memory device of another kind, options
  /// that go straight to QEMU. Empty: nothing.
  std::string unknown;
};

/// invalid: it is no description of a domain, or its numbers are nonsense.
[[nodiscard]] Result<DomainDescription> parse_domain_xml(std::string_view text);

/// Main memory as QEMU's machine of that type is known to lay it out; nothing that is not known for sure.
/// unsupported where that can't be told; the error says why.
[[nodiscard]] Result<MemoryMap> map_by_description(const DomainDescription& domain);

} // namespace vmemfs::libvirt
