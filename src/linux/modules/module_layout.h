// SPDX-License-Identifier: MIT
// Members of a kernel's structures that describe its modules, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/structures/list_walk.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs {

/// Max number of modules that are read. Real guests have some hundreds.
inline constexpr std::size_t kMaxModules = 8192;

/// Offsets in bytes. Known of Linux 5.10 to 7.2.
struct ModuleLayout {
  static constexpr std::uint64_t kNameBytes = 56;
  /// The greatest value of enum module_state: a module with it is not in use yet.
  static constexpr std::uint32_t kUnformed = 3;

  ListElement element; ///< struct module
  std::uint64_t state;
  std::uint64_t name;
  std::optional<std::uint64_t> references; ///< absent from kernels that cannot unload modules
  std::uint64_t base;                      ///< of the code
  std::vector<std::uint64_t> sizes;        ///< which add up to the module's
};

/// no_data: the kernel's types lack something.
[[nodiscard]] Result<ModuleLayout> module_layout(const btf::Types& types);

} // namespace vmemfs
