// SPDX-License-Identifier: MIT
#include "fs/cli/check_host.h"

#include "core/text.h"
#include "driver/driver_runtimes.h"
#include "drivers/all_drivers.h"
#include "fs/cli/host_checks.h"
#include "fs/privileges/privileges.h"
#include "fs/privileges/unit_settings.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

HostCheck check_of(const DriverType& type) {
  const auto available = type.available();
  return {fmt::format("driver {}", type.name()), available.has_value(), Weight::helpful,
          available ? std::string{type.summary()} : available.error().message()};
}

HostCheck check_of(const AbsentDriver& driver) {
  return {
      fmt::format("driver {}", driver.name), false, Weight::helpful,
      fmt::format("not compiled in ({}); build vmemfs with {} installed", driver.reaches, driver.package)};
}

/// Of all drivers of this program, or only of those that work on this host.
Needs needs_of_drivers(bool working) {
  Needs all;
  for (const DriverType* const type : all_drivers()) {
    if (!working || type->available()) {
      all.add(type->needs({}));
    }
  }
  return all;
}

/// Of this process, with the privileges that it was started with.
std::vector<HostCheck> checks_of_rights() {
  std::vector<HostCheck> checks = mount_checks();
  std::ranges::move(rights_checks(needs_of_drivers(true)), std::back_inserter(checks));
  return checks;
}

/// One for each driver of this program, in their order.
std::vector<std::vector<HostCheck>> checks_of_drivers() {
  std::vector<std::vector<HostCheck>> all;
  for (const DriverType* const type : all_drivers()) {
    std::vector<HostCheck> checks{check_of(*type)};
    if (checks.back().good) {
      std::ranges::move(needs_checks(type->name(), type->needs({})), std::back_inserter(checks));
    }
    all.push_back(std::move(checks));
  }
  return all;
}

/// What the checks of VMs report is written by their processes, so these run with no more privileges than a
/// mount has.
std::vector<HostCheck> all_checks() {
  std::vector<HostCheck> checks = checks_of_rights();
  std::vector<std::vector<HostCheck>> by_driver = checks_of_drivers();
  const DriverRuntimes runtimes{all_drivers()};
  for (const std::string& problem : give_up_privileges(needs_of_drivers(true)).problems) {
    checks.push_back({"giving up privileges", false, Weight::helpful, problem});
  }
  for (std::size_t i = 0; i < by_driver.size(); ++i) {
    const bool works = by_driver[i].front().good;
    std::ranges::move(by_driver[i], std::back_inserter(checks));
    if (works) {
      std::ranges::move(all_drivers()[i]->checks(runtimes.of(*all_drivers()[i])), std::back_inserter(checks));
    }
  }
  std::ranges::transform(absent_drivers(), std::back_inserter(checks),
                         [](const AbsentDriver& driver) { return check_of(driver); });
  return checks;
}

} // namespace

int check_host() {
  constexpr std::size_t kMaxDetail = 2000;
  constexpr std::size_t kWidest = 40;
  const auto checks = all_checks();
  std::size_t width = 0;
  for (const HostCheck& check : checks) {
    width = std::min(std::max(width, check.what.size()), kWidest);
  }
  bool good = true;
  for (const HostCheck& check : checks) {
    std::cout << fmt::format("{:<3}  {:<{}}  {}\n", check.good ? "yes" : "no", printable(check.what), width,
                             printable(check.detail, kMaxDetail));
    good = good && (check.good || check.weight == Weight::helpful);
  }
  return good ? 0 : 1;
}

int print_unit_settings() {
  std::cout
      << "# What mounting and the drivers of this program need: a drop-in for vmemfs.service.\n[Service]\n"
      << fmt::format("{}\n", fmt::join(unit_settings(needs_of_drivers(false)), "\n"));
  return 0;
}

} // namespace vmemfs
