// SPDX-License-Identifier: MIT
// The memory of a Linux kernel in a guest, by its page tables.
#pragma once

#include "core/gpa.h"
#include "linux/kernel_memory.h"
#include "vm/linux/architecture/kernel_paging.h"
#include "vm/linux/linux_kernel.h"
#include "vm/memory/address_space.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vmemfs {

/// Nothing of the page tables is kept: they are walked at each read, but for the kernel's image and its
/// direct map, whose places do not change while the kernel runs. A read ends early when the limit of the
/// calling thread's work is reached.
class PagedMemory final : public KernelMemory {
public:
  /// Both outlive this object.
  PagedMemory(AddressSpace& memory, const LinuxKernel& kernel) : memory_{memory}, kernel_{kernel} {}

  [[nodiscard]] std::size_t read(std::uint64_t address, std::span<std::byte> buffer) override;
  [[nodiscard]] std::size_t read_user(std::uint64_t top_table, std::uint64_t address,
                                      std::span<std::byte> buffer) override;
  /// By the kernel's page tables alone. nullopt: it is not mapped.
  [[nodiscard]] std::optional<Gpa> translate(std::uint64_t address);

private:
  [[nodiscard]] std::optional<KernelPlace> place_of(std::uint64_t address);
  [[nodiscard]] std::optional<KernelPlace> walk(const KernelPaging& paging, std::uint64_t address);
  /// Reads as far as `place_at(address)` says where memory is.
  template <typename PlaceAt> [[nodiscard]] std::size_t
  read_places(std::uint64_t address, std::span<std::byte> buffer, PlaceAt&& place_at);

  AddressSpace& memory_;
  const LinuxKernel& kernel_;
};

} // namespace vmemfs
