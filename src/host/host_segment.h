// How each stretch of another process's memory is to be reached: decided once, when it is opened.
#pragma once

#include "core/error.h"
#include "host/backing_file.h"
#include "host/hva.h"
#include "host/process.h"
#include "host/shared_view.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

enum class Access : unsigned char {
  file,          ///< shared mapping: pread of the file
  process,       ///< process_vm_readv
  process_guard, ///< the same for pages that are there, others from the file or zeros
  refused,       ///< not memory, or not reachable
};

struct HostSegment {
  HvaRange range;
  Access access = Access::refused;
  std::shared_ptr<const BackingFile> file; ///< null: nothing but zeros behind absent pages
  std::uint64_t file_offset = 0;           ///< of range.begin, in bytes
  SharedView view;                         ///< of the whole range; only with Access::file, may be absent
  std::string detail;                      ///< in words, for `info`; why, where refused
};

/// Splits `ranges` by what the process has mapped there. Sorted, no overlap; neighbours that are
/// reached in the same way are one. Parts where nothing is mapped are refused segments.
/// permission: something can't be reached for want of rights; the text names the remedy.
[[nodiscard]] Result<std::vector<HostSegment>> plan_segments(const Process& process,
                                                             std::span<const HvaRange> ranges);

} // namespace vmemfs
