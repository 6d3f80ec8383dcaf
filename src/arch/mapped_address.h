// SPDX-License-Identifier: MIT
// A virtual address of an x86 or riscv64 guest in the page that maps it.
#pragma once

#include "arch/page_table_format.h"
#include "core/gpa.h"

#include <cstdint>

namespace vmemfs {

struct MappedAddress {
  Gpa gpa;
  std::uint64_t left; ///< bytes from here to the end of the page
  PageRights rights;

  friend bool operator==(const MappedAddress&, const MappedAddress&) = default;
};

} // namespace vmemfs
