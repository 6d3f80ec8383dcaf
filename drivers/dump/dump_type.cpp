// SPDX-License-Identifier: MIT
#include "drivers/dump/dump_type.h"

#include "drivers/dump/raw_image_driver.h"

#include <linux/capability.h>

namespace vmemfs {
namespace {

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {"path", ParamType::path, true, "", "the image: a file whose offsets are guest physical addresses",
       "/var/dumps/web01.raw"},
      {"format", ParamType::choice, false, "raw", "how the file is laid out", "raw", {"raw"}},
  };
  return kSpecs;
}

class DumpType : public DriverType {
public:
  std::string_view name() const override { return "dump"; }
  std::string_view summary() const override { return "a memory image in a file (raw)"; }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "dump:path=/var/dumps/web01.raw"; }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_DAC_OVERRIDE, "images of other users"}}};
  }

  Result<std::unique_ptr<Driver>> open(const Params& params,
                                       const DriverContext& /*context*/) const override {
    auto driver = RawImageDriver::open(params.text("path"));
    if (!driver) {
      return tl::unexpected{driver.error()};
    }
    return std::unique_ptr<Driver>{std::move(*driver)};
  }
};

} // namespace

const DriverType& dump_driver_type() {
  static const DumpType kType;
  return kType;
}

} // namespace vmemfs
