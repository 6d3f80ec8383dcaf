// SPDX-License-Identifier: MIT
// The ELF file of a running kernel, as its debug package has it, made from what the guest's memory says.
//
// For gdb, drgn and crash: code and data from guest memory, symbols from kallsyms, BTF, and DWARF 4 made from
// BTF, as drgn and crash read no other types. What is missing there: lines, local variables, macros, and the
// types of variables that variable_types() does not have. Addresses are those that the kernel was linked for.
#pragma once

#include "core/gpa.h"
#include "image/elf_core.h"
#include "linux/btf/types.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/vmlinux/elf_writer.h"

#include <cstdint>
#include <string>

namespace vmemfs {

/// All of it comes from the guest, so it can say anything.
struct VmlinuxSource {
  const KernelSymbols& symbols;
  const btf::Types* types = nullptr; ///< nullptr: unknown; the file has symbols only
  ElfMachine machine = ElfMachine::x86_64;
  /// The kernel's image, which is contiguous: its memory, and the virtual address of its begin at run time.
  GpaRange image{};
  std::uint64_t image_address = 0;
  std::uint64_t kaslr_offset = 0; ///< how far the image lies from where it was linked for, in virtual memory
  std::string build_id{};         ///< of VMCOREINFO, in hexadecimal; used if the image has no notes
};

/// What cannot be placed or is not known is left out. The result has no more than about ten times as many
/// made bytes as symbols and types take. Does not read guest memory.
[[nodiscard]] ElfFile make_vmlinux(const VmlinuxSource& source);

} // namespace vmemfs
