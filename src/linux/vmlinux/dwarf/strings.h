// SPDX-License-Identifier: MIT
// The strings of DWARF, with those of BTF at their begin.
#pragma once

#include "linux/btf/types.h"
#include "linux/vmlinux/byte_writer.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::dwarf {

/// Not thread-safe.
class Strings {
public:
  /// Copies all strings of the types, so that their names need not be looked up.
  explicit Strings(const btf::Types& types);

  /// Of a name of the types, or of any other text, which is added.
  [[nodiscard]] std::uint32_t offset(std::string_view text);

  /// Content of .debug_str.
  [[nodiscard]] std::vector<std::byte> take() && { return std::move(strings_).take(); }

private:
  std::span<const std::byte> of_types_; ///< those of BTF, which strings_ begins with
  ByteWriter strings_;
};

} // namespace vmemfs::dwarf
