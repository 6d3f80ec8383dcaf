// SPDX-License-Identifier: MIT
// Reads of small structures in the memory of another process, and writes to its memory. For reads of guest
// RAM see host_memory.h.
//
// Stateless and thread-safe. All of it is bound to the address space: another program that the process
// executes is neither read nor written. vm_gone: the address space is gone.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

namespace vmemfs {

/// Fills `buffer`, or fails. permission: the error text names the remedy. source_failed: not mapped there.
[[nodiscard]] Result<void> read_process_memory(const ProcessSpace& space, Hva hva,
                                               std::span<std::byte> buffer);

/// Reads as far as memory is mapped from `hva` on; returns the number of bytes read, at least 1.
[[nodiscard]] Result<std::size_t> read_process_memory_prefix(const ProcessSpace& space, Hva hva,
                                                             std::span<std::byte> buffer);

/// Reads a value of a trivially copyable type.
template <typename T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] Result<T> read_process_value(const ProcessSpace& space, Hva hva) {
  T value{};
  if (auto read = read_process_memory(space, hva, std::as_writable_bytes(std::span{&value, 1})); !read) {
    return tl::unexpected{read.error()};
  }
  return value;
}

struct ProcessWrite {
  std::size_t done = 0;         ///< bytes from the start that were written
  std::optional<Error> failure; ///< why not all was written
};

/// The kernel allows writes even if the process itself may only read (a private copy of a file): the caller
/// must check what may be written. permission: the text names the remedy. source_failed: nothing is mapped
/// there, or its page is not available.
[[nodiscard]] ProcessWrite write_process_memory(const ProcessSpace& space, Hva hva,
                                                std::span<const std::byte> bytes);

/// Private memory that the process has in host memory and in swap, by the kernel's counters: all of it, not
/// only the guest's, and up to some hundred KiB per CPU off. Everybody may know it, so there is no proof of
/// the program. Microseconds; waits for nothing.
[[nodiscard]] std::optional<std::uint64_t> private_bytes(pid_t pid);

/// Whether this process may read the memory of process `pid`; accesses none of it.
[[nodiscard]] Result<void> check_process_memory_access(pid_t pid);

} // namespace vmemfs
