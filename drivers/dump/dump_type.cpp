// SPDX-License-Identifier: MIT
#include "drivers/dump/dump_type.h"

#include "drivers/dump/dump_driver.h"
#include "image/saved/saved_formats.h"

#include <linux/capability.h>

namespace vmemfs {
namespace {

std::vector<std::string_view> format_names() {
  std::vector<std::string_view> names;
  for (const SavedFormat* format : saved_formats()) {
    names.push_back(format->name());
  }
  return names;
}

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {"path", ParamType::path, true, "", "the file with the saved memory", "/var/dumps/web01.elf"},
      {"format", ParamType::choice, false, "",
       "its format; without, the content decides, and what has no known format is raw: offsets are guest "
       "physical addresses",
       "raw", format_names()},
  };
  return kSpecs;
}

class DumpType : public DriverType {
public:
  std::string_view name() const override { return "dump"; }
  std::string_view summary() const override { return "saved memory in a file"; }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "dump:path=/var/dumps/web01.elf"; }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_DAC_OVERRIDE, "images of other users"}}};
  }

  Result<std::unique_ptr<Driver>> open(const Params& params,
                                       const DriverContext& /*context*/) const override {
    auto driver = DumpDriver::open(params.text("path"), params.text("format"));
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
