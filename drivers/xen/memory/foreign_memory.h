// SPDX-License-Identifier: MIT
// Mappings of another domain's memory, held as short as possible: a mapped page keeps its domain from ending.
#pragma once

#include "drivers/xen/handles.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/mman.h>

namespace vmemfs::xen {

/// The hypervisor's number of a page: guest frame number for PVH and HVM domains, machine frame number for
/// PV.
using Frame = xen_pfn_t;

class ForeignPages {
public:
  ForeignPages(xenforeignmemory_handle* memory, void* address, std::size_t count)
      : memory_{memory}, address_{static_cast<std::byte*>(address)}, count_{count} {}
  ForeignPages(ForeignPages&& other) noexcept
      : memory_{other.memory_}, address_{std::exchange(other.address_, nullptr)}, count_{other.count_} {}
  ForeignPages& operator=(ForeignPages&&) = delete;
  ForeignPages(const ForeignPages&) = delete;
  ForeignPages& operator=(const ForeignPages&) = delete;
  ~ForeignPages() {
    if (address_ != nullptr) {
      xenforeignmemory_unmap(memory_, address_, count_);
    }
  }

  /// A page that could not be mapped must not be accessed.
  [[nodiscard]] std::span<std::byte, XC_PAGE_SIZE> page(std::size_t index) const {
    return std::span<std::byte, XC_PAGE_SIZE>{address_ + index * XC_PAGE_SIZE, XC_PAGE_SIZE};
  }

private:
  xenforeignmemory_handle* memory_;
  std::byte* address_;
  std::size_t count_;
};

/// The best number of pages per mapping call: fewer cost more per page, more gain nothing.
inline constexpr std::size_t kBatchPages = 256;

/// Thread-safe.
class ForeignMemory {
public:
  ForeignMemory(ForeignMemoryHandle handle, std::uint32_t domain)
      : handle_{std::move(handle)}, domain_{domain} {}

  /// Maps the frames contiguously; `errors` has 0 or a positive errno for each. Returns the errno of the
  /// whole call; ESRCH: there is no such domain any more.
  [[nodiscard]] tl::expected<ForeignPages, int> map(std::span<const Frame> frames, std::span<int> errors,
                                                    int protection = PROT_READ) const;

private:
  ForeignMemoryHandle handle_;
  std::uint32_t domain_;
};

} // namespace vmemfs::xen
