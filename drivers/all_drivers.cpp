// SPDX-License-Identifier: MIT
#include "drivers/all_drivers.h"

#include "drivers/dump/dump_type.h"
#include "drivers/fake/fake_type.h"
#include "drivers/qemu/qemu_type.h"

#ifdef VMEMFS_WITH_LIBVIRT
#include "drivers/libvirt/libvirt_type.h"
#endif
#ifdef VMEMFS_WITH_XEN
#include "drivers/xen/xen_type.h"
#endif

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <iterator>

namespace vmemfs {
namespace {

/// Drivers that a build may be without.
constexpr std::array kOptional{
    AbsentDriver{"libvirt", "the domains of a libvirt connection", "libvirt-dev"},
    AbsentDriver{"xen", "the domains of a Xen host", "libxen-dev"},
};

} // namespace

std::span<const DriverType* const> all_drivers() {
  static const std::array kDrivers{
#ifdef VMEMFS_WITH_LIBVIRT
      &libvirt_driver_type(),
#endif
      &qemu_driver_type(),
#ifdef VMEMFS_WITH_XEN
      &xen_driver_type(),
#endif
      &dump_driver_type(),    &fake_driver_type(),
  };
  return kDrivers;
}

std::vector<AbsentDriver> absent_drivers() {
  std::vector<AbsentDriver> absent;
  std::ranges::copy_if(kOptional, std::back_inserter(absent), [](const AbsentDriver& driver) {
    return find_driver(all_drivers(), driver.name) == nullptr;
  });
  return absent;
}

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

Result<std::unique_ptr<Discovery>> open_discovery(const VmSpec& spec) {
  return open_discovery(all_drivers(), spec);
}

bool vm_needs_network(const VmSpec& vm) { return vm_needs_network(all_drivers(), vm); }

bool discovery_needs_network(const VmSpec& discovery) {
  return discovery_needs_network(all_drivers(), discovery);
}

} // namespace vmemfs
