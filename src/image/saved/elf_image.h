// SPDX-License-Identifier: MIT
// ELF cores of machines: of QEMU (dump-guest-memory, virsh dump --memory-only), Linux (vmcore) and
// VirtualBox. Format: the System V ABI, chapter "Object Files", and elf(5).
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

[[nodiscard]] const SavedFormat& elf_image_format();

} // namespace vmemfs
