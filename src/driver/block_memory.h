// SPDX-License-Identifier: MIT
// The interface of a guest's blocks of backing memory, as their backends have them.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vmemfs {

/// A block is named by a region of the memory map that lies in it: `of`. If the map has changed so that there
/// is no such region any more, that is a hole. Thread-safe; waits as a read does.
class BlockMemory {
public:
  virtual ~BlockMemory() = default;

  /// Of its backend, in bytes; nullopt: only what the map shows of it is known. Waits for nothing.
  [[nodiscard]] virtual std::optional<std::uint64_t> size(const Region& of) = 0;

  /// Memory and disk space of the host that the block takes, in bytes; nullopt: unknown. Waits for nothing.
  [[nodiscard]] virtual std::optional<std::uint64_t> held_bytes(const Region& of) = 0;

  /// Reads [offset, offset + buffer.size()) of the block, parts included that the guest has at no address.
  /// Returns how many bytes from the start were read: at least one, unless there were none. Allocates no
  /// guest memory.
  [[nodiscard]] virtual tl::expected<std::size_t, ErrorKind> read(const Region& of, std::uint64_t offset,
                                                                  std::span<std::byte> buffer) = 0;

  /// Opens the file that is the block: its bytes are the guest's, at the same offsets, and what is mapped of
  /// it is the guest's memory. Open for writing too, which proves that this process may write it.
  /// unsupported: there is no such file.
  [[nodiscard]] virtual Result<UniqueFd> open_file(const Region& of) = 0;
};

} // namespace vmemfs
