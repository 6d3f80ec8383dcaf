// SPDX-License-Identifier: MIT
// The check of the bytes of a BTF.
#pragma once

#include "core/error.h"
#include "linux/btf/kind.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs::btf {

/// Max size of a BTF. Those of kernels have 3 to 6 MB.
inline constexpr std::size_t kMaxBytes = std::size_t{64} << 20U;
/// Max number of types, those of the base not counted: what the kernel allows.
inline constexpr std::size_t kMaxTypes = 0xfffff;
/// Max length of a name. The kernel allows 511; values of tags may have more.
inline constexpr std::size_t kMaxName = 4095;

/// A BTF that keeps to the format: all types, names and elements are within their sections, every name ends,
/// and every number of a type is below first + offsets.size(). The types may refer to each other in circles.
struct CheckedBytes {
  std::uint32_t names;                ///< where the names begin
  std::uint32_t names_bytes;          ///< their size
  std::vector<std::uint32_t> offsets; ///< of each type
};

/// `first`: number of the first type. `base_names_bytes`: names below this offset are those of the base.
/// invalid: what is wrong with the bytes.
[[nodiscard]] Result<CheckedBytes> check_bytes(std::span<const std::byte> bytes, TypeId first = 1,
                                               std::uint32_t base_names_bytes = 0);

} // namespace vmemfs::btf
