// SPDX-License-Identifier: MIT
// ELF cores of machines: of QEMU (dump-guest-memory, virsh dump --memory-only), Linux (vmcore) and
// VirtualBox. Format: the System V ABI, chapter "Object Files", and elf(5).
#pragma once

#include "image/saved/saved_image.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmemfs {

[[nodiscard]] const SavedFormat& elf_image_format();

struct ElfMachineNotes {
  std::uint16_t machine = 0;      ///< e_machine
  std::vector<std::byte> notes{}; ///< the first note segment; empty: there is none
};

/// Of an ELF64 core. invalid: it is damaged, or the notes have more than kMaxNoteBytes.
[[nodiscard]] Result<ElfMachineNotes> elf_machine_notes(const SavedFile& file);

} // namespace vmemfs
