// SPDX-License-Identifier: MIT
// The device /dev/kvmmem of a VM in which vmemfs runs: maps pages of another VM of the same host.
//
// It belongs to kernels with KVM-VMI's patches and has two ABIs; trying finds which. What it says
// is checked: a region that is not where it was asked for is given back.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/kvmi/mapping/device_abi.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs::kvmi {

/// Guest memory in our address space. Its pages may vanish at any time: see copy_from_mapping().
struct DeviceRegion {
  GpaRange range{};
  std::byte* address = nullptr;
};

/// Thread-safe. One file for each connection of a VM; the kernel unmaps all when it is closed.
class MemoryDevice {
public:
  /// `uuid` of the VM, as printed. not_found: there is no such file. unsupported: it has neither ABI.
  static Result<std::unique_ptr<MemoryDevice>> open(const std::string& path, std::string_view uuid);

  /// Maps the page, or a region around it of at most `max_bytes`. busy: it may work later. bad_page: this
  /// page cannot be mapped. Otherwise the device is of no use.
  [[nodiscard]] Result<DeviceRegion> map(const MapToken& token, Gpa page, std::uint64_t max_bytes);
  /// Gives back what map() gave.
  void unmap(const DeviceRegion& region);

  [[nodiscard]] std::string_view abi() const { return is_second_ ? "second ABI" : "first ABI"; }

private:
  MemoryDevice(UniqueFd file, bool is_second) : file_{std::move(file)}, is_second_{is_second} {}
  [[nodiscard]] Result<DeviceRegion> map_first(const MapToken& token, Gpa page);
  [[nodiscard]] Result<DeviceRegion> map_second(const MapToken& token, Gpa page, std::uint64_t max_bytes);

  const UniqueFd file_;
  const bool is_second_;
};

} // namespace vmemfs::kvmi
