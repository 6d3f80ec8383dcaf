// SPDX-License-Identifier: MIT
// Where the page tables of x86 and riscv64 guests map a virtual address.
#pragma once

#include "arch/page_table_format.h"
#include "core/gpa.h"

#include <cstdint>

namespace vmemfs {

/// One virtual address in the page that maps it.
struct MappedAddress {
  Gpa gpa;
  std::uint64_t left; ///< bytes from here to the end of the page
  PageRights rights;

  friend bool operator==(const MappedAddress&, const MappedAddress&) = default;
};

} // namespace vmemfs
