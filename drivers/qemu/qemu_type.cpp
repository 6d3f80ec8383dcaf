// SPDX-License-Identifier: MIT
#include "drivers/qemu/qemu_type.h"

#include "drivers/qemu/discovery/find_qemu.h"
#include "drivers/qemu/discovery/qemu_discovery.h"
#include "drivers/qemu/monitor/resume_ticket.h"
#include "drivers/qemu/qemu_checks.h"
#include "drivers/qemu/qemu_driver.h"
#include "util/work_limit.h"

#include <limits>
#include <linux/capability.h>
#include <sys/types.h>
#include <utility>

namespace vmemfs {
namespace {

/// Of a VM and of the discovery.
ParamSpec tcp_spec() {
  return {.name = "tcp",
          .type = ParamType::flag,
          .fallback = "off",
          .help = "keep the network, which reaching a monitor on TCP takes; given when vmemfs is started",
          .example = "on"};
}

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "qmp",
       .type = ParamType::path,
       .help = "path of a QMP socket of the VM",
       .example = "/run/web01.qmp",
       .alternative = true},
      {.name = "pid",
       .type = ParamType::number,
       .help = "process ID of QEMU",
       .example = "4711",
       .range = {1, std::numeric_limits<pid_t>::max()},
       .alternative = true},
      {.name = "name",
       .type = ParamType::text,
       .help = "the VM's name, as given with QEMU's -name",
       .example = "web01",
       .alternative = true,
       .names_vm = true},
      {"map",
       ParamType::choice,
       false,
       "auto",
       "source of the memory map: monitor and flat view, one of them, or a guess by machine type",
       "flatview",
       {"auto", "monitor", "flatview", "guess"}},
      {"keep", ParamType::flag, false, "off",
       "keep the monitor connected, for events; only for a socket that no other client needs", "on"},
      {"timeout",
       ParamType::duration,
       false,
       "2s",
       "time limit of an exchange with the monitor; all exchanges of an operation have two of it",
       "500ms",
       {},
       {1, kMaxTimeoutParam}},
      tcp_spec(),
  };
  return kSpecs;
}

const std::vector<ParamSpec>& discovery_specs() {
  static const std::vector<ParamSpec> kSpecs{tcp_spec()};
  return kSpecs;
}

qemu::MapSource map_source(std::string_view name) {
  if (name == "monitor") {
    return qemu::MapSource::monitor;
  }
  if (name == "flatview") {
    return qemu::MapSource::flat_view;
  }
  return name == "guess" ? qemu::MapSource::guess : qemu::MapSource::automatic;
}

class QemuType : public DriverType {
public:
  std::string_view name() const override { return "qemu"; }
  std::string_view summary() const override {
    return "a running QEMU of this host, with KVM or TCG, unpatched; give one of qmp, pid and name";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "qemu:qmp=/run/web01.qmp"; }

  std::vector<HostCheck> checks(const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return qemu::check_qemus(specs());
  }

  Needs needs(const Params& params) const override {
    return {.network = params.has("tcp") && params.flag("tcp"),
            .capabilities = {{CAP_SYS_PTRACE, "memory of other users' VMs"},
                             {CAP_DAC_OVERRIDE, "their monitors and memory files"},
                             {CAP_CHECKPOINT_RESTORE, "memory files that a VMM has closed"}},
            .system_calls = {{"process_vm_readv", "memory of a VMM"},
                             {"pidfd_getfd", "memory files of a VMM that have no path"},
                             {"mincore", "which pages of a memory file exist"}}};
  }

  std::unique_ptr<Discovery> discovery(const Params& /*params*/,
                                       const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return std::make_unique<qemu::QemuDiscovery>();
  }

  std::span<const ParamSpec> discovery_params() const override { return discovery_specs(); }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const WorkLimit limit{WorkLimit::Clock::now() + qemu::kAttachTimeouts * params.duration("timeout")};
    auto found = qemu::find_qemu(params);
    if (!found) {
      return tl::unexpected{found.error()};
    }
    const qemu::QemuOptions options{map_source(params.text("map")), params.flag("keep"),
                                    params.duration("timeout")};
    return qemu::QemuDriver::attach(std::move(*found), options, context);
  }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return qemu::parse_resume_ticket(ticket).and_then(qemu::resume_orphan);
  }
};

} // namespace

const DriverType& qemu_driver_type() {
  static const QemuType kType;
  return kType;
}

} // namespace vmemfs
