// SPDX-License-Identifier: MIT
// Cores that `xl dump-core` writes: an ELF file of sections, without program headers.
//
// Format: Xen's docs/misc/dump-core-format.txt; registers: struct vcpu_guest_context of
// xen/include/public/arch-x86/xen.h.
#pragma once

#include "image/saved/saved_image.h"

#include <elf.h>

namespace vmemfs {

/// Whether a core with this header is of that form.
[[nodiscard]] inline bool is_xen_core(const Elf64_Ehdr& header) {
  return header.e_type == ET_CORE && header.e_phnum == 0 && header.e_shnum > 0;
}

/// PV guests, and those that Xen translates addresses of (HVM, PVH).
[[nodiscard]] Result<SavedImage> open_xen_core(const SavedFile& file, const Elf64_Ehdr& header);

} // namespace vmemfs
