// SPDX-License-Identifier: MIT
// Contents of a VMware state file (.vmss, .vmsn): where the memory of the VM is, and its registers.
//
// Format: see vmware_tags.h. The group "memory" has regionsCount, and for each region regionPageNum (its page
// in the saved memory), regionPPN (its page in the guest) and regionSize, in pages of 4 KiB; and the block
// Memory, if the memory is in the same file.
#pragma once

#include "core/error.h"
#include "core/register_set.h"
#include "image/saved/saved_file.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

/// In bytes; sums of two do not overflow.
struct VmwareRegion {
  std::uint64_t offset; ///< in the saved memory
  std::uint64_t gpa;
  std::uint64_t size;

  friend bool operator==(const VmwareRegion&, const VmwareRegion&) = default;
};

/// Bytes of a file.
struct VmwareBlock {
  std::uint64_t offset;
  std::uint64_t size;
  bool packed; ///< how is not known
};

struct VmwareState {
  std::vector<VmwareRegion> regions{};  ///< in the file's order; none: it has no list of them
  std::optional<VmwareBlock> memory{};  ///< none: in another file
  bool is_arm = false;                  ///< of a Mac with an ARM CPU
  std::vector<RegisterSet> registers{}; ///< as of SavedImage
  std::string problem{};                ///< as of SavedImage
  bool memory_is_cut = false;           ///< there may have been more of `regions` and `memory`
};

/// Max number of regions; files are known with three.
inline constexpr std::uint32_t kMaxVmwareRegions = 4096;

/// invalid: there is no group "memory", or its regions are not whole. Reads no memory of the guest.
[[nodiscard]] Result<VmwareState> read_vmware_state(const SavedFile& file);

} // namespace vmemfs
