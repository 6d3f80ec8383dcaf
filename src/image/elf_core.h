// SPDX-License-Identifier: MIT
// ELF64 core: headers, notes, and the guest's memory behind them.
//
// The file begins with the ELF header, the program headers and the notes, filled up to a page; then the
// ranges follow. Its size depends only on its shape: unused program headers are PT_NULL, unused room for
// notes is 0. Analysis tools are particular: p_align is 0 (crash takes other files for an older format), and
// what is mapped at a kernel address claims a page more than it has (Volatility skips it then; its ranges
// must not overlap).
#pragma once

#include "core/gpa.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vmemfs {

/// e_machine.
enum class ElfMachine : std::uint16_t { none = 0, x86_64 = 62, aarch64 = 183, riscv64 = 243 };

/// All that the size depends on.
struct ElfCoreShape {
  std::size_t ranges = 0;
  std::size_t max_virtual = 0;    ///< program headers for virtual addresses
  std::size_t max_note_bytes = 0; ///< of all notes together, see elf_note_bytes()

  /// Size of all that comes before the memory.
  [[nodiscard]] std::uint64_t header_bytes() const;
};

/// Memory that the kernel has at a virtual address. It lies in one of the ranges.
struct ElfVirtualRange {
  GpaRange memory;
  std::uint64_t address;
};

/// Size of a note, with its header.
[[nodiscard]] std::size_t elf_note_bytes(std::string_view name, std::size_t content_bytes);
/// Appends a note.
void add_elf_note(std::vector<std::byte>& notes, std::string_view name, std::uint32_t type,
                  std::span<const std::byte> content);

/// Types of notes.
inline constexpr std::uint32_t kElfPrstatus = 1; ///< of "CORE"
inline constexpr std::uint32_t kElfUntyped = 0;  ///< of "QEMU" and "VMCOREINFO"

struct ElfCore {
  ElfMachine machine = ElfMachine::none;
  std::span<const GpaRange> ranges;              ///< sorted
  std::vector<ElfVirtualRange> virtual_ranges{}; ///< those beyond the shape's max are left out
  std::vector<std::byte> notes{};                ///< left out if there are more bytes than the shape's max
};

/// The bytes before the memory: as many as header_bytes(). `shape.ranges` is the number of the ranges.
[[nodiscard]] std::vector<std::byte> elf_core_header(const ElfCoreShape& shape, const ElfCore& core);

} // namespace vmemfs
