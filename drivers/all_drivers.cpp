// SPDX-License-Identifier: MIT
#include "drivers/all_drivers.h"

#include <algorithm>
#include <fmt/format.h>

namespace vmemfs {

std::vector<std::string> problems_of(const VmSpec& spec, std::span<const ParamSpec> option_specs) {
  auto problems = problems_of(all_drivers(), spec, option_specs);
  const auto absent = absent_drivers();
  if (std::ranges::find(absent, spec.driver, &AbsentDriver::name) != absent.end()) {
    problems.push_back(fmt::format("{} was not compiled in ('vmemfs check' says more)", spec.driver));
  }
  return problems;
}

Result<std::unique_ptr<Driver>> open_driver(const VmSpec& spec, const DriverContext& context) {
  DriverContext with_others = context;
  with_others.open_other = [context](const VmSpec& other) {
    return open_driver(all_drivers(), other, context);
  };
  return open_driver(all_drivers(), spec, with_others);
}

Result<std::unique_ptr<Discovery>> open_discovery(const VmSpec& spec, const DriverRuntimes* runtimes) {
  return open_discovery(all_drivers(), spec, runtimes);
}

} // namespace vmemfs
