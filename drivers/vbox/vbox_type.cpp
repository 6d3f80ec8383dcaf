// SPDX-License-Identifier: MIT
#include "drivers/vbox/vbox_type.h"

#include "drivers/vbox/guest/resume_ticket.h"
#include "drivers/vbox/shared/byte_exchange.h"
#include "drivers/vbox/vbox_driver.h"
#include "util/work_limit.h"

#include <linux/capability.h>
#include <utility>

namespace vmemfs {
namespace {

/// An attempt to attach: the greeting, the search for memory, and the measurement.
constexpr int kAttachTimeouts = 5;

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "name",
       .type = ParamType::text,
       .required = true,
       .help = "the VM's exact name, which is that of the shared memory too",
       .example = "win10",
       .names_vm = true},
      {.name = "maps",
       .type = ParamType::text,
       .help =
           "where the guest has memory: BEGIN-END[:KIND], joined by +, where KIND is ram (the default), rom "
           "or device; default: found by reading pages",
       .example = "0-640K+1M-3584M+4G-5G",
       .list_separator = '+'},
      {.name = "timeout",
       .type = ParamType::duration,
       .fallback = "5s",
       .help = "time limit of a reply, after which the connection is lost, and of waiting for other clients",
       .example = "20s",
       .range = {100, kMaxTimeoutParam}},
  };
  return kSpecs;
}

class VboxType : public DriverType {
public:
  std::string_view name() const override { return "vbox"; }
  std::string_view summary() const override {
    return "a VM of a VirtualBox with the FDP patch, by its shared memory";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "vbox:name=win10"; }

  Result<void> available() const override {
    return vbox::can_exchange_bytes()
               ? Result<void>{}
               : fail(ErrorKind::unsupported, name(), "FDP works on x86-64 hosts only");
  }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_DAC_OVERRIDE, "shared memory of other users' VMs"}}};
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const auto timeout = params.duration("timeout");
    const WorkLimit limit{WorkLimit::Clock::now() + kAttachTimeouts * timeout};
    return vbox::VboxDriver::attach({params.text("name"), params.text("maps"), timeout}, context);
  }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return vbox::parse_resume_ticket(ticket).and_then(vbox::resume_orphan);
  }
};

} // namespace

const DriverType& vbox_driver_type() {
  static const VboxType kType;
  return kType;
}

} // namespace vmemfs
