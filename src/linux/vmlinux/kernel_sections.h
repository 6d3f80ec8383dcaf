// SPDX-License-Identifier: MIT
// Sections of a kernel's image: where the symbols say they are.
#pragma once

#include "linux/vmlinux/elf_writer.h"
#include "linux/vmlinux/linked_symbols.h"

#include <cstdint>
#include <vector>

namespace vmemfs {

struct KernelSection {
  enum class Content : std::uint8_t {
    guest,   ///< as in the guest's memory
    zeros,   ///< what the kernel freed after boot; tools want the section, but not what is there now
    nothing, ///< no bytes in the file
  };

  ElfSection section; ///< with its name, type, flags and address
  AddressRange range; ///< as linked
  Content content = Content::guest;
};

/// Max size of an image.
inline constexpr std::uint64_t kMaxKernelBytes = std::uint64_t{256} << 20U;
/// Max size of a section of zeros, which take memory; those of Debian's kernels have less than 1 MiB.
inline constexpr std::uint64_t kMaxZerosBytes = std::uint64_t{16} << 20U;

/// In the order of their program headers. `image`: the kernel's image; sections that are not in it are left
/// out, as are those that the symbols do not place. None overlap.
///
/// Before Linux 6.15 the area of a CPU is linked at address 0. It is second then: drgn takes the addresses
/// of a kernel from its first and its last program header.
[[nodiscard]] std::vector<KernelSection> kernel_sections(const LinkedSymbols& symbols,
                                                         const AddressRange& image);

} // namespace vmemfs
