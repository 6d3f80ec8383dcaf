// SPDX-License-Identifier: MIT
// Reads of small structures in the memory of another process. For guest RAM see host_memory.h.
//
// Stateless and thread-safe. The pid is not checked: hold a Process and call alive() afterwards.
#pragma once

#include "core/error.h"
#include "host/hva.h"

#include <cstddef>
#include <span>
#include <sys/types.h>
#include <type_traits>

namespace vmemfs {

/// One stretch of a read.
struct ProcessPiece {
  Hva hva;
  std::span<std::byte> buffer;
};

/// Fills `buffer`, or fails. permission: the error text names the remedy. vm_gone: no such process.
/// source_failed: not mapped there.
[[nodiscard]] Result<void> read_process_memory(pid_t pid, Hva hva, std::span<std::byte> buffer);

/// Fills all buffers with one system call, or fails. At most kMaxProcessPieces pieces.
inline constexpr std::size_t kMaxProcessPieces = 16;
[[nodiscard]] Result<void> read_process_memory(pid_t pid, std::span<const ProcessPiece> pieces);

/// Reads as far as memory is mapped from `hva` on; returns the number of bytes read, at least 1.
[[nodiscard]] Result<std::size_t> read_process_memory_prefix(pid_t pid, Hva hva, std::span<std::byte> buffer);

/// Whether this process may read the memory of `pid`; accesses none of it.
[[nodiscard]] Result<void> check_process_memory_access(pid_t pid);

/// Reads a value of a trivially copyable type.
template <typename T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] Result<T> read_process_value(pid_t pid, Hva hva) {
  T value{};
  if (auto read = read_process_memory(pid, hva, std::as_writable_bytes(std::span{&value, 1})); !read) {
    return tl::unexpected{read.error()};
  }
  return value;
}

} // namespace vmemfs
