// SPDX-License-Identifier: MIT
// Notes of ELF cores and kdump files: registers, and the program that wrote the file.
//
// Formats: NT_PRSTATUS is struct elf_prstatus of Linux (include/linux/elfcore.h); QEMU's note is QEMUCPUState
// (target/i386/arch_dump.c); VirtualBox's is DBGFCORECPU (include/VBox/vmm/dbgfcorefmt.h).
#pragma once

#include "core/register_set.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Max number of vCPUs of a dump; more are left out.
inline constexpr std::size_t kMaxDumpVcpus = 4096;

/// Max size of all notes of a dump; the rest is left out.
inline constexpr std::uint64_t kMaxNoteBytes = std::uint64_t{64} << 20;

class ElfNotes {
public:
  explicit ElfNotes(std::uint16_t machine) : machine_{machine} {}

  /// Reads a note segment. One that is damaged ends it.
  void read(std::span<const std::byte> bytes);

  [[nodiscard]] std::string_view writer() const; ///< empty: unknown
  /// One set for each vCPU, in their order: of the note that knows most.
  [[nodiscard]] const std::vector<RegisterSet>& registers() const;
  [[nodiscard]] std::string_view registers_from() const; ///< empty: there are none
  /// Of the Linux kernel, as its VMCOREINFO says; not trusted. Empty: there is none.
  [[nodiscard]] const std::string& release() const { return release_; }

private:
  void read_note(std::string_view name, std::uint32_t type, std::span<const std::byte> content);

  std::uint16_t machine_;
  std::vector<RegisterSet> prstatus_;
  std::vector<RegisterSet> qemu_;
  std::vector<RegisterSet> virtualbox_;
  bool of_linux_ = false;
  std::string release_;
};

} // namespace vmemfs
