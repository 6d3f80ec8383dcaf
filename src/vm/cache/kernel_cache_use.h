// SPDX-License-Identifier: MIT
// Use of the kernel's page cache for a guest's memory, or the reason against it.
#pragma once

namespace vmemfs {

/// Of files of a guest's memory that are opened for reading now. Each value but in_use is a reason.
enum class KernelCacheUse : unsigned char {
  in_use,
  vm_gone,
  off, ///< by the setting
  writes_on,
  cannot_pause,     ///< its memory may change at any time
  unreported,       ///< nothing would report that somebody else resumes it
  not_paused,       ///< or not known to be
  paused_by_others, ///< who may resume it; the setting `on` allows it
  memory_changes,   ///< although it is paused
  unclear,          ///< whether it is still paused is being queried
  too_large,        ///< for the host's available memory; the setting `on` allows it
  uneven_ranges,    ///< not of whole pages; images can be read through it all the same
};

} // namespace vmemfs
