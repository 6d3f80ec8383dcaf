// SPDX-License-Identifier: MIT
// Registers of x86 vCPUs in the group "cpu" of a VMware state file.
//
// Names of the tags: those that crash (vmware_vmss.c) and Volatility 2 (vmware.py) read. The first index is
// that of the vCPU. What has no name known here, such as MSRs, stays absent.
#pragma once

#include "core/register_set.h"
#include "image/saved/saved_file.h"
#include "image/saved/vmware/vmware_tags.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs {

/// Not thread-safe.
class VmwareRegisters {
public:
  /// Takes what one tag of the group says; others are ignored. `file`: that of the tag.
  void add(const SavedFile& file, const VmwareTag& tag);

  /// One for each vCPU, kMaxDumpVcpus at most; none if none has a register.
  [[nodiscard]] std::vector<RegisterSet> take();

private:
  void add_value(RegisterSet& set, const VmwareTag& tag);
  void add_block(RegisterSet& set, const SavedFile& file, const VmwareTag& tag);

  std::vector<RegisterSet> sets_{};
  std::optional<std::uint64_t> count_{}; ///< as the group says
};

} // namespace vmemfs
