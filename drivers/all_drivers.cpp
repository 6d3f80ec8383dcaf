#include "drivers/all_drivers.h"

#include "core/text.h"
#include "drivers/dump/dump_type.h"
#include "drivers/fake/fake_type.h"
#include "drivers/qemu/qemu_type.h"

#ifdef VMEMFS_WITH_LIBVIRT
#include "drivers/libvirt/libvirt_type.h"
#endif

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>

namespace vmemfs {

std::span<const DriverType* const> all_drivers() {
  static const std::array kDrivers{
#ifdef VMEMFS_WITH_LIBVIRT
      &libvirt_driver_type(),
#endif
      &qemu_driver_type(),
      &dump_driver_type(),
      &fake_driver_type(),
  };
  return kDrivers;
}

namespace {

Result<const DriverType*> find_type(std::string_view name) {
  const auto drivers = all_drivers();
  const auto type = std::ranges::find(drivers, name, &DriverType::name);
  if (type != drivers.end()) {
    return *type;
  }
  std::vector<std::string_view> names;
  std::ranges::transform(drivers, std::back_inserter(names), &DriverType::name);
  return fail(ErrorKind::invalid, "vm",
              fmt::format("there is no driver '{}'; there are {}", printable(name), fmt::join(names, ", ")));
}

/// Of a driver's VMs, or of its discovery.
enum class ParamsOf : unsigned char { vm, discovery };

Result<Params> parse_params(const DriverType& type, ParamsOf whose, const std::string& text) {
  auto params = Params::parse(text, whose == ParamsOf::vm ? type.params() : type.discovery_params());
  if (!params) {
    return fail(params.error().kind, type.name(), params.error().message());
  }
  return params;
}

bool needs_network(const VmSpec& spec, ParamsOf whose) {
  const auto type = find_type(spec.driver);
  const auto params =
      type.and_then([&](const DriverType* found) { return parse_params(*found, whose, spec.params); });
  return params && (*type)->needs_network(*params);
}

} // namespace

Result<std::unique_ptr<Driver>> open_driver(const VmSpec& spec, const DriverContext& context) {
  const auto type = find_type(spec.driver);
  if (!type) {
    return tl::unexpected{type.error()};
  }
  const auto params = parse_params(**type, ParamsOf::vm, spec.params);
  if (!params) {
    return tl::unexpected{params.error()};
  }
  DriverContext with_others = context;
  with_others.open_other = [context](const VmSpec& other) { return open_driver(other, context); };
  return (*type)->open(*params, with_others);
}

Result<std::unique_ptr<Discovery>> open_discovery(const VmSpec& spec) {
  const auto type = find_type(spec.driver);
  if (!type) {
    return tl::unexpected{type.error()};
  }
  const auto params = parse_params(**type, ParamsOf::discovery, spec.params);
  if (!params) {
    return tl::unexpected{params.error()};
  }
  auto discovery = (*type)->discovery(*params);
  if (discovery == nullptr) {
    return fail(ErrorKind::unsupported, spec.driver,
                "this driver finds no VMs by itself; name them with --vm");
  }
  return discovery;
}

bool vm_needs_network(const VmSpec& vm) { return needs_network(vm, ParamsOf::vm); }

bool discovery_needs_network(const VmSpec& discovery) {
  return needs_network(discovery, ParamsOf::discovery);
}

} // namespace vmemfs
