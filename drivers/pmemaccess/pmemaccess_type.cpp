// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/pmemaccess_type.h"

#include "drivers/pmemaccess/monitor/resume_ticket.h"
#include "drivers/pmemaccess/pmemaccess_driver.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "util/work_limit.h"

#include <linux/capability.h>
#include <utility>

namespace vmemfs {
namespace {

/// An attempt to attach asks the monitor twice, and the memory socket.
constexpr int kAttachTimeouts = 5;

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "qmp",
       .type = ParamType::path,
       .help = "path of a QMP socket of the VM: QEMU is asked there to make the memory socket",
       .example = "/run/web01.qmp",
       .alternative = true},
      {.name = "socket",
       .type = ParamType::path,
       .help = "path of a memory socket that QEMU was already asked to make",
       .example = "/run/web01.pmem",
       .alternative = true},
      {.name = "dir",
       .type = ParamType::path,
       .help = "directory for the memory socket, which QEMU can write; default: that of the QMP socket",
       .example = "/run/vmemfs"},
      {.name = "maps",
       .type = ParamType::text,
       .help = "where the guest has memory: BEGIN-END[:KIND], joined by +; default: the monitor is asked",
       .example = "0-640K+1M-2G"},
      {.name = "keep",
       .type = ParamType::flag,
       .fallback = "off",
       .help = "keep the monitor connected, for events; only for a socket that no other client needs",
       .example = "on"},
      {.name = "timeout",
       .type = ParamType::duration,
       .fallback = "2s",
       .help = "time limit of a request, and of each group of monitor commands",
       .example = "500ms",
       .range = {1, kMaxTimeoutParam}},
  };
  return kSpecs;
}

std::string absolute_path(const std::string& path) { return path.empty() ? path : absolute_address(path); }

class PmemaccessType : public DriverType {
public:
  std::string_view name() const override { return "pmemaccess"; }
  std::string_view summary() const override {
    return "a QEMU with LibVMI's pmemaccess patch; for one of this host the driver qemu is better, without a "
           "patch";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "pmemaccess:qmp=/run/web01.qmp"; }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_DAC_OVERRIDE, "sockets of other users' VMs"}}};
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const auto timeout = params.duration("timeout");
    const WorkLimit limit{WorkLimit::Clock::now() + kAttachTimeouts * timeout};
    return pmemaccess::PmemaccessDriver::attach(
        {absolute_path(params.text("qmp")), absolute_path(params.text("socket")),
         absolute_path(params.text("dir")), params.text("maps"), params.flag("keep"), timeout},
        context);
  }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return pmemaccess::parse_resume_ticket(ticket).and_then(pmemaccess::resume_orphan);
  }
};

} // namespace

const DriverType& pmemaccess_driver_type() {
  static const PmemaccessType kType;
  return kType;
}

} // namespace vmemfs
