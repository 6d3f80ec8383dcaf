// SPDX-License-Identifier: MIT
#include "drivers/xen/xen_type.h"

#include "drivers/xen/discovery/xen_discovery.h"
#include "drivers/xen/state/domain_info.h"
#include "drivers/xen/state/resume_ticket.h"
#include "drivers/xen/xen_driver.h"
#include "drivers/xen/xen_runtime.h"

#include <linux/capability.h>
#include <utility>

namespace vmemfs {
namespace {

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "domain",
       .type = ParamType::text,
       .required = true,
       .help = "the domain: its id, its uuid, or its name",
       .example = "web01",
       .names_vm = true},
  };
  return kSpecs;
}

/// The mount's; a new one outside of a mount.
std::shared_ptr<xen::XenRuntime> runtime_for(const std::shared_ptr<DriverRuntime>& runtime) {
  return runtime != nullptr ? std::static_pointer_cast<xen::XenRuntime>(runtime)
                            : std::make_shared<xen::XenRuntime>();
}

class XenType : public DriverType {
public:
  std::string_view name() const override { return "xen"; }
  std::string_view summary() const override {
    return "a Xen domain of this host: PV, PVH or HVM, from domain 0";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "xen:domain=web01"; }

  Result<void> available() const override {
    return xen::open_control().and_then([](const xen::Control& control) {
      return xen::domain_info(control.get(), 0).map([](const auto&) {});
    });
  }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_DAC_OVERRIDE, "Xen's device nodes and xenstore, which are root's"}},
            .devices = {{"/dev/xen/privcmd", "memory of domains"},
                        {"/dev/xen/hypercall", "calls of the hypervisor"}}};
  }

  std::shared_ptr<DriverRuntime> make_runtime() const override { return std::make_shared<xen::XenRuntime>(); }

  std::unique_ptr<Discovery> discovery(const Params& /*params*/,
                                       const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return std::make_unique<xen::XenDiscovery>();
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const auto runtime = runtime_for(context.runtime);
    return xen::XenDriver::attach(params.text("domain"), *runtime, context);
  }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return xen::parse_resume_ticket(ticket).and_then(xen::resume_orphan);
  }
};

} // namespace

const DriverType& xen_driver_type() {
  static const XenType kType;
  return kType;
}

} // namespace vmemfs
