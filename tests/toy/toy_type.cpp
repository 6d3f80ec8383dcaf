// SPDX-License-Identifier: MIT
#include "toy/toy_type.h"

#include "toy/toy_driver.h"

#include <limits>
#include <linux/capability.h>
#include <sys/types.h>

namespace vmemfs {
namespace {

class ToyType : public DriverType {
public:
  std::string_view name() const override { return "toy"; }
  std::string_view summary() const override { return "a range of a process's memory"; }
  std::string_view example() const override { return "toy:pid=4711,address=0x7f0000000000,size=64M"; }
  std::span<const ParamSpec> params() const override {
    static const std::vector<ParamSpec> kSpecs{
        {.name = "pid",
         .type = ParamType::number,
         .required = true,
         .help = "process that has the RAM",
         .example = "4711",
         .range = {1, std::numeric_limits<pid_t>::max()}},
        {.name = "address",
         .type = ParamType::number,
         .required = true,
         .help = "address of the RAM in the process",
         .example = "0x7f0000000000",
         .range = {0, kGpaLimit - 1}},
        {.name = "size",
         .type = ParamType::size,
         .required = true,
         .help = "bytes of RAM",
         .example = "64M",
         .range = {1, kGpaLimit - 1}},
    };
    return kSpecs;
  }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_SYS_PTRACE, "memory of other users' processes"}},
            .system_calls = {{"process_vm_readv", "memory of a process"}}};
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const Hva begin = params.number("address");
    return ToyDriver::attach(static_cast<pid_t>(params.number("pid")), {begin, begin + params.number("size")},
                             context);
  }
};

} // namespace

const DriverType& toy_driver_type() {
  static const ToyType kType;
  return kType;
}

} // namespace vmemfs
