// SPDX-License-Identifier: MIT
// Files that are no image of memory although somebody may take them for one: packed ones, states of
// hypervisors, disks. Shown as raw memory they would be wrong bytes without an error.
//
// Beginnings as in the formats' own documents; of QEMU's and libvirt's states: QEMU's migration/savevm.c and
// libvirt's src/qemu/qemu_saveimage.h.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace vmemfs {

/// What a file is that begins with these bytes, and what to do with it: the rest of a sentence that begins
/// with "it is". Empty: none of those. A pure function.
[[nodiscard]] std::string_view foreign_content(std::span<const std::byte> head);

} // namespace vmemfs
