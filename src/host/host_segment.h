// SPDX-License-Identifier: MIT
// Segments of another process's memory with their access methods, which are chosen once, at opening.
#pragma once

#include "core/error.h"
#include "host/backing_file.h"
#include "host/hva.h"
#include "host/process_space.h"
#include "host/shared_view.h"
#include "util/users/owner_shares.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

enum class Access : unsigned char {
  file,          ///< shared mapping: pread of the file
  process,       ///< process_vm_readv
  process_guard, ///< the same for present pages, others from the file or zeros
  refused,       ///< not memory, or not reachable
};

struct HostSegment {
  HvaRange range;
  Access access = Access::refused;
  std::shared_ptr<const BackingFile> file; ///< null: absent pages are zeros
  bool anonymous = false;                  ///< private memory without a file, of ordinary pages
  std::uint64_t file_offset = 0;           ///< of range.begin, in bytes
  bool written_by_process = false;         ///< it maps the file to write, so it may write it
  SharedView view;                         ///< of the whole range; only with Access::file, may be absent
  std::optional<OwnerShares::Share> share; ///< of the mappings of this process, with a view
  std::string detail;                      ///< text for `info`; the reason, if refused
};

/// One process's limits. Files beyond them are refused segments; what would be in more segments is an error
/// (unsupported); more views are none. The descriptors and mappings of all processes have limits per user as
/// well, see docs/security.md.
inline constexpr std::size_t kMaxBackingFiles = 256;
inline constexpr std::size_t kMaxSegments = 4096;
inline constexpr std::size_t kMaxViews = 256;

/// Splits `ranges` by the mappings of the process. Sorted, no overlap; neighbours with the same access
/// method are one segment. Unmapped parts are refused segments. permission: a part is not accessible; the
/// text names the remedy. The caller calls ProcessSpace::check_current() before it uses them.
[[nodiscard]] Result<std::vector<HostSegment>> plan_segments(const ProcessSpace& space,
                                                             std::span<const HvaRange> ranges);

} // namespace vmemfs
