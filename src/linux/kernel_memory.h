// SPDX-License-Identifier: MIT
// The interface of a Linux kernel's memory, by virtual addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

namespace vmemfs {

/// Thread-safe. The guest may run, so two reads need not be of the same state, and what is read can be
/// anything.
class KernelMemory {
public:
  KernelMemory() = default;
  KernelMemory(const KernelMemory&) = delete;
  KernelMemory& operator=(const KernelMemory&) = delete;
  virtual ~KernelMemory() = default;

  /// Returns how many bytes were read: fewer than requested at an address that is not mapped or cannot be
  /// read.
  [[nodiscard]] virtual std::size_t read(std::uint64_t address, std::span<std::byte> buffer) = 0;

  /// The same of a process. `top_table`: address, in the kernel's memory, of the top page table of the
  /// process (mm_struct.pgd).
  [[nodiscard]] virtual std::size_t read_user(std::uint64_t top_table, std::uint64_t address,
                                              std::span<std::byte> buffer) = 0;

  /// A number, or a structure of numbers, in the guest's byte order, which is little-endian. nullopt: some of
  /// its bytes cannot be read.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> value(std::uint64_t address) {
    T found{};
    const auto bytes = std::as_writable_bytes(std::span{&found, 1});
    return read(address, bytes) == sizeof found ? std::optional{found} : std::nullopt;
  }
};

} // namespace vmemfs
