// SPDX-License-Identifier: MIT
// What the hypervisor says of its domains.
#pragma once

#include "core/error.h"
#include "drivers/xen/handles.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::xen {

enum class DomainKind : unsigned char {
  pv,  ///< paravirtual: its frames are numbered by the guest, and mapped by machine frame
  pvh, ///< hardware virtualisation without a device model
  hvm, ///< hardware virtualisation with one
};

/// "PV", "PVH" or "HVM".
[[nodiscard]] std::string_view to_string(DomainKind kind);

struct DomainInfo {
  std::uint32_t id = 0;
  std::string uuid;
  DomainKind kind = DomainKind::pv;
  bool dying = false;
  bool paused = false; ///< somebody's pause holds it; the hypervisor counts them, but doesn't tell the number
  bool on_cpu = false; ///< a vCPU of it runs at this moment
  bool shut_down = false;       ///< the guest has ended, crashed or suspended; the domain is still there
  unsigned shutdown_reason = 0; ///< SHUTDOWN_... of <xen/sched.h>
  std::uint64_t pages = 0;      ///< that it has now
  std::uint64_t max_pages = 0;  ///< that it may have
  std::uint32_t vcpus = 0;      ///< the highest number there may be, plus 1
  std::chrono::nanoseconds cpu_time{0}; ///< of all vCPUs together
};

/// not_found: there is no such domain (any more). One hypercall.
[[nodiscard]] Result<DomainInfo> domain_info(xc_interface* control, std::uint32_t id);

/// All there are, by number, domain 0 and dying ones included.
[[nodiscard]] Result<std::vector<DomainInfo>> all_domains(xc_interface* control);

/// What stands for a shutdown reason: "crashed", "powered off", ...
[[nodiscard]] std::string_view shutdown_name(unsigned reason);

} // namespace vmemfs::xen
