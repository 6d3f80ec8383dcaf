// SPDX-License-Identifier: MIT
// Members of a kernel's structures that describe its modules, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs {

/// Offsets in bytes. Known of Linux 5.10 to 7.2.
struct ModuleLayout {
  static constexpr std::uint64_t kNameBytes = 56;

  std::uint64_t size; ///< of struct module
  std::uint64_t next; ///< list.next and list.prev
  std::uint64_t prev;
  std::uint64_t state;
  std::uint64_t name;
  std::optional<std::uint64_t> references; ///< absent from kernels that cannot unload modules
  std::uint64_t base;                      ///< of the code
  std::vector<std::uint64_t> sizes;        ///< which add up to the module's
};

/// no_data: the kernel's types lack something.
[[nodiscard]] Result<ModuleLayout> module_layout(const btf::Types& types);

} // namespace vmemfs
