// SPDX-License-Identifier: MIT
// Paging mode of an x86 vCPU.
#pragma once

#include "arch/page_table_format.h"
#include "core/gpa.h"

#include <cstdint>

namespace vmemfs::x86_64 {

enum class PagingMode : std::uint8_t {
  none,   ///< paging is off: an address is a physical one, below 4 GiB
  bits32, ///< 32-bit, entries of 4 bytes
  pae,    ///< 32-bit, entries of 8 bytes
  level4, ///< 48-bit
  level5, ///< 57-bit (LA57)
};

/// Of a vCPU at one instant.
struct Paging {
  PagingMode mode = PagingMode::none;
  Gpa root{};              ///< of the page tables
  bool large_pages = true; ///< 4 MiB pages in mode bits32 (CR4.PSE); all other modes have large pages
  bool no_execute = false; ///< bit 63 of an entry forbids execution (EFER.NXE), else it is reserved

  friend bool operator==(const Paging&, const Paging&) = default;
};

} // namespace vmemfs::x86_64
