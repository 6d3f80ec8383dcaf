// SPDX-License-Identifier: MIT
#include "drivers/leechcore/leechcore_type.h"

#include "drivers/leechcore/leechcore_driver.h"
#include "drivers/leechcore/leechcore_runtime.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "device",
       .fallback = "FPGA",
       .help = "LeechCore's name of the device; one with commas is put in quotes",
       .example = "file:///var/dumps/web01.raw"},
      {.name = "options",
       .help = "options of the device, separated by semicolons: what follows :// in LeechCore's name",
       .example = "devindex=1;algo=2"},
      {.name = "memmap",
       .type = ParamType::path,
       .help =
           "a file with the ranges of memory, as LeechCore or memflow has them; without, the device's own",
       .example = "/etc/vmemfs/memmap.txt"},
      {.name = "remote",
       .help = "LeechCore's name of the host that has the device",
       .example = "rpc://insecure:alpha"},
      {.name = "library",
       .type = ParamType::path,
       .help = "leechcore.so, or the directory that it lies in; without, it is found as other libraries are",
       .example = "/opt/leechcore"},
      {.name = "timeout",
       .type = ParamType::duration,
       .fallback = "10s",
       .help = "max time that LeechCore may take for opening the device, and for each call",
       .example = "30s",
       .range = {100, kMaxTimeoutParam}},
  };
  return kSpecs;
}

/// Devices that are files of this host take no socket; that of USB is one of the kernel, for devices that
/// come and go.
bool is_file(std::string device) {
  std::ranges::transform(device, device.begin(),
                         [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return device.starts_with("file") || device.starts_with('/');
}

class LeechcoreType : public DriverType {
public:
  std::string_view name() const override { return "leechcore"; }
  std::string_view summary() const override {
    return "a machine that a device of LeechCore reaches, such as a PCILeech FPGA";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "leechcore:device=FPGA,library=/opt/leechcore"; }

  Needs needs(const Params& params) const override {
    return {.network = params.has("remote") || (params.has("device") && !is_file(params.text("device")))};
  }

  std::vector<HostCheck> checks(const std::shared_ptr<DriverRuntime>& runtime) const override {
    const Result<std::string> program = leechcore::leechcore_runtime(runtime)->program();
    return {{"worker program of leechcore", program.has_value(), Weight::helpful,
             program ? fmt::format("{}; whether LeechCore is there shows when a VM is attached", *program)
                     : program.error().text}};
  }

  std::shared_ptr<DriverRuntime> make_runtime() const override {
    return std::make_shared<leechcore::LeechcoreRuntime>();
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const Result<std::string> program = leechcore::leechcore_runtime(context.runtime)->program();
    if (!program) {
      return tl::unexpected{program.error()};
    }
    return leechcore::LeechcoreDriver::attach({.library = params.text("library"),
                                               .device = params.text("device"),
                                               .options = params.text("options"),
                                               .remote = params.text("remote"),
                                               .map_file = params.text("memmap"),
                                               .timeout = params.duration("timeout")},
                                              *program, context);
  }
};

} // namespace

const DriverType& leechcore_driver_type() {
  static const LeechcoreType kType;
  return kType;
}

} // namespace vmemfs
