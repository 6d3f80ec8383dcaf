#include "drivers/all_drivers.h"

#include "core/text.h"
#include "drivers/dump/dump_type.h"
#include "drivers/fake/fake_type.h"
#include "drivers/qemu/qemu_type.h"
#ifdef VMEMFS_XEN
#include "drivers/xen/xen_type.h"
#endif

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>

namespace vmemfs {

std::span<const DriverType* const> all_drivers() {
  static const std::array kDrivers{
      &qemu_driver_type(),
#ifdef VMEMFS_XEN
      &xen_driver_type(),
#endif
      &dump_driver_type(),
      &fake_driver_type(),
  };
  return kDrivers;
}

Result<std::unique_ptr<Driver>> open_driver(const VmSpec& spec, const DriverContext& context) {
  const auto drivers = all_drivers();
  const auto type = std::ranges::find(drivers, spec.driver, &DriverType::name);
  if (type == drivers.end()) {
    std::vector<std::string_view> names;
    std::ranges::transform(drivers, std::back_inserter(names), &DriverType::name);
    return fail(
        ErrorKind::invalid, "vm",
        fmt::format("there is no driver '{}'; there are {}", printable(spec.driver), fmt::join(names, ", ")));
  }
  const auto params = Params::parse(spec.params, (*type)->params());
  if (!params) {
    return fail(params.error().kind, spec.driver, params.error().message());
  }
  return (*type)->open(*params, context);
}

} // namespace vmemfs
