// SPDX-License-Identifier: MIT
#include "driver/needs.h"

#include <algorithm>
#include <iterator>

namespace vmemfs {
namespace {

template <typename T, typename Key>
void add_missing(std::vector<T>& all, const std::vector<T>& more, Key key) {
  for (const T& one : more) {
    if (std::ranges::find(all, one.*key, key) == all.end()) {
      all.push_back(one);
    }
  }
}

} // namespace

void Needs::add(const Needs& other) {
  network = network || other.network;
  for (const Capability& capability : other.capabilities) {
    const auto known = std::ranges::find(capabilities, capability.number, &Capability::number);
    if (known == capabilities.end()) {
      capabilities.push_back(capability);
    } else {
      known->for_network = known->for_network && capability.for_network;
    }
  }
  add_missing(system_calls, other.system_calls, &SystemCall::name);
  add_missing(devices, other.devices, &DeviceNode::path);
}

std::vector<Needs::Capability> Needs::useful_capabilities() const {
  std::vector<Capability> useful;
  std::ranges::copy_if(capabilities, std::back_inserter(useful),
                       [this](const Capability& capability) { return network || !capability.for_network; });
  return useful;
}

} // namespace vmemfs
