// SPDX-License-Identifier: MIT
// The hypervisor's information on its domains.
#pragma once

#include "core/error.h"
#include "core/vcpu_set.h"
#include "drivers/xen/handles.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::xen {

enum class DomainKind : unsigned char {
  pv,  ///< paravirtualized: the guest numbers its frames, mapping takes machine frames
  pvh, ///< hardware virtualization without a device model
  hvm, ///< hardware virtualization with one
};

/// "PV", "PVH" or "HVM".
[[nodiscard]] std::string_view to_string(DomainKind kind);

struct DomainInfo {
  std::uint32_t id = 0;
  std::string uuid;
  DomainKind kind = DomainKind::pv;
  bool dying = false;
  bool paused =
      false; ///< at least one pause is active; the hypervisor counts them but does not report the number
  bool on_cpu = false;          ///< one of its vCPUs runs at this moment
  bool shut_down = false;       ///< the guest has ended, crashed or suspended; the domain still exists
  unsigned shutdown_reason = 0; ///< SHUTDOWN_... of <xen/sched.h>
  std::uint64_t pages = 0;      ///< current number
  std::uint64_t max_pages = 0;  ///< maximum number
  std::uint32_t vcpus = 0;      ///< the highest possible vCPU number, plus 1
  std::chrono::nanoseconds cpu_time{0}; ///< of all vCPUs together
};

/// not_found: there is no such domain (any more). One hypercall.
[[nodiscard]] Result<DomainInfo> domain_info(xc_interface* control, std::uint32_t id);

/// Those of its vCPUs that are online, of the numbers below `limit`. One hypercall each. An offline vCPU has
/// no registers; the guest, or `xl vcpu-set`, takes vCPUs online and offline.
[[nodiscard]] Result<VcpuSet> online_vcpus(xc_interface* control, std::uint32_t id, std::uint32_t limit);

/// All domains, by number, including domain 0 and dying ones.
[[nodiscard]] Result<std::vector<DomainInfo>> all_domains(xc_interface* control);

/// The text for a shutdown reason: "crashed", "powered off", ...
[[nodiscard]] std::string_view shutdown_name(unsigned reason);

} // namespace vmemfs::xen
