// SPDX-License-Identifier: MIT
// Offsets of the members of a kernel's structures, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs {

/// Collects what a reader needs, so that it asks once at the end whether all of it is there. Not thread-safe.
class MemberOffsets {
public:
  static constexpr std::uint64_t kPointer = 8;
  /// Max size of a structure: that of a task is 9 to 14 KiB.
  static constexpr std::uint64_t kMaxStructure = 64U << 10U;

  /// `types` outlives this object.
  explicit MemberOffsets(const btf::Types& types) : types_{types} {}

  /// Bytes of a structure. 0: it is absent or too large.
  [[nodiscard]] std::uint64_t size(std::string_view structure);
  /// Where a member of `bytes` bytes begins; it is within its structure. 0: there is none of this size.
  [[nodiscard]] std::uint64_t offset(std::string_view structure, std::string_view path,
                                     std::uint64_t bytes = kPointer);
  /// The same of a member that not every kernel has.
  [[nodiscard]] std::optional<std::uint64_t> find(std::string_view structure, std::string_view path,
                                                  std::uint64_t bytes = kPointer) const;

  /// no_data: something that was asked for is absent; the text names the first.
  [[nodiscard]] Result<void> check() const;

private:
  void note_missing(std::string_view structure, std::string_view path = {});

  const btf::Types& types_;
  std::string missing_;
};

} // namespace vmemfs
