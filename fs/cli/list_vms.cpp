// SPDX-License-Identifier: MIT
#include "fs/cli/list_vms.h"

#include "driver/driver_runtimes.h"
#include "drivers/all_drivers.h"
#include "fs/daemon/mount_needs.h"
#include "fs/daemon/vm_service.h"
#include "fs/files/text/vm_list_text.h"
#include "fs/privileges/privileges.h"
#include "util/log.h"

#include <chrono>
#include <fmt/format.h>
#include <iostream>
#include <string>
#include <thread>

namespace vmemfs {
namespace {

/// Longer than for a mount: the list is printed once and should be complete.
constexpr std::chrono::seconds kForFarHosts{20};
constexpr std::chrono::milliseconds kBetweenLooks{20};

} // namespace

int list_vms(const ListVms& how) {
  log::set_level(log::Level::error); // the list has the reasons why VMs cannot be attached
  MountOptions found_ones;
  found_ones.discoveries = how.discoveries;
  const DriverRuntimes runtimes{all_drivers()};
  for (const std::string& problem : give_up_privileges(mount_needs(found_ones)).problems) {
    std::cerr << fmt::format("vmemfs: {}\n", problem);
  }
  VmService vms{found_ones, runtimes};
  const auto deadline = std::chrono::steady_clock::now() + kForFarHosts;
  if (!vms.begin(kForFarHosts)) {
    return 1;
  }
  while (vms.finder().pending() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kBetweenLooks);
  }
  const auto listed = listed_vms(vms.finder().discovered_vms(), vms.registry());
  std::cout << (how.json ? vm_list_json(listed) : vm_list_text(listed));
  const auto errors = vms.finder().discovery_errors();
  for (const DiscoveryError& error : errors) {
    std::cerr << fmt::format("vmemfs: cannot scan for VMs: {}: {}\n", error.driver, error.reason);
  }
  return errors.empty() ? 0 : 1;
}

} // namespace vmemfs
