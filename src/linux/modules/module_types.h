// SPDX-License-Identifier: MIT
// The types (BTF) of the modules of a guest's kernel: where they are, and their bytes.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/running_kernel.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Max size of the types of all modules together. Those of a large system have 6 MB.
inline constexpr std::size_t kMaxModuleTypes = std::size_t{16} << 20U;

/// The types of one module.
struct ModuleTypes {
  std::string name;     ///< fit for a file, and unlike the others; see is_module_file_name()
  std::uint64_t data;   ///< address of the bytes
  std::uint32_t size;   ///< in bytes
  std::uint64_t holder; ///< address of the structure that says so

  friend bool operator==(const ModuleTypes&, const ModuleTypes&) = default;
};

/// Printable, without '/' and blanks, at most 55 bytes; not ".", "..", nor "vmlinux", the name of the
/// kernel's own types. A name comes from the guest, so it can be anything.
[[nodiscard]] bool is_module_file_name(std::string_view name);

/// Those of the loaded modules, in the kernel's order. Left out are such with another name, or one that comes
/// twice, and what is beyond the limit. Empty: the kernel has no types of modules.
///
/// The guest is not paused. If the list changes while it is read, it is read again, at most two times; then
/// some may be missing. Waits for the guest's memory. no_data: the kernel's types lack something. timed_out:
/// the limit of the calling thread's work is reached.
[[nodiscard]] Result<std::vector<ModuleTypes>> list_module_types(const RunningKernel& kernel);

/// The types with this name, checked. `base`: the kernel's own, which they continue. no_data: no module has
/// them now, they cannot be read, or are damaged. timed_out: as above.
[[nodiscard]] Result<std::shared_ptr<const btf::Types>>
read_module_types(const RunningKernel& kernel, std::string_view name, std::shared_ptr<const btf::Types> base);

} // namespace vmemfs
