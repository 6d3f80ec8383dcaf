// SPDX-License-Identifier: MIT
#include "fs/app/list_vms.h"

#include "fs/app/vm_service.h"
#include "fs/files/vm_list_text.h"
#include "util/log.h"

#include <chrono>
#include <fmt/format.h>
#include <iostream>
#include <thread>

namespace vmemfs {
namespace {

/// A list is all that is wanted, so it had better be a whole one.
constexpr std::chrono::seconds kForFarHosts{20};
constexpr std::chrono::milliseconds kBetweenLooks{20};

} // namespace

int list_vms(const ListVms& how) {
  log::set_level(log::Level::error); // why a VM can't be attached is in the list
  MountOptions found_ones;
  found_ones.discoveries = how.discoveries;
  VmService vms{found_ones};
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
    std::cerr << fmt::format("vmemfs: can't look for VMs: {}: {}\n", error.driver, error.reason);
  }
  return errors.empty() ? 0 : 1;
}

} // namespace vmemfs
