// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/gdbstub_type.h"

#include "drivers/gdbstub/gdbstub_driver.h"
#include "drivers/gdbstub/link/server_address.h"
#include "drivers/gdbstub/session/resume_orphan.h"

#include <linux/capability.h>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "address",
       .type = ParamType::text,
       .required = true,
       .help = "where the server listens: IP:PORT, or the path of a UNIX socket; connecting stops its target",
       .example = "127.0.0.1:1234"},
      {.name = "maps",
       .type = ParamType::text,
       .help =
           "where the target has memory: BEGIN-END[:KIND], joined by +, where KIND is ram (the default), rom "
           "or device; without, the server's own map, which QEMU does not have",
       .example = "0-640K+1M-128M",
       .list_separator = '+'},
      {.name = "leave",
       .type = ParamType::choice,
       .fallback = "as_found",
       .help =
           "the state of the target after detaching, if it was not paused or resumed meanwhile: as_found is "
           "that before connecting, or running if the server does not say that",
       .example = "stopped",
       .choices = {"as_found", "running", "stopped"}},
      {.name = "alone",
       .type = ParamType::flag,
       .fallback = "off",
       .help = "nobody but vmemfs resumes the target or changes its memory, so pages are cached while it is "
               "stopped; a server does not report it",
       .example = "on"},
      {.name = "timeout",
       .type = ParamType::duration,
       .fallback = "5s",
       .help = "how long to wait for each reply",
       .example = "20s",
       .range = {100, kMaxTimeoutParam}},
  };
  return kSpecs;
}

gdbstub::Leave leave_of(const std::string& text) {
  if (text == "running") {
    return gdbstub::Leave::running;
  }
  return text == "stopped" ? gdbstub::Leave::stopped : gdbstub::Leave::as_found;
}

class GdbstubType : public DriverType {
public:
  std::string_view name() const override { return "gdbstub"; }
  std::string_view summary() const override {
    return "the target of a server of GDB's remote protocol, such as QEMU's, OpenOCD, Bochs and kgdb";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "gdbstub:address=127.0.0.1:1234,maps=0-640K+1M-128M"; }

  /// The network only for a VM that is named when vmemfs is started.
  Needs needs(const Params& params) const override {
    const auto address = gdbstub::parse_address(params.text("address"));
    return {.network = address && !address->is_unix(),
            .capabilities = {{CAP_DAC_OVERRIDE, "the server's UNIX socket"}}};
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    auto address = gdbstub::parse_address(params.text("address"));
    if (!address) {
      return tl::unexpected{std::move(address.error())};
    }
    return gdbstub::GdbstubDriver::attach({std::move(*address), params.duration("timeout"),
                                           leave_of(params.text("leave")), params.flag("alone")},
                                          params.text("maps"), context);
  }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return gdbstub::parse_resume_ticket(ticket).and_then(gdbstub::resume_orphan);
  }
};

} // namespace

const DriverType& gdbstub_driver_type() {
  static const GdbstubType kType;
  return kType;
}

} // namespace vmemfs
