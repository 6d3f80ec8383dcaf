// SPDX-License-Identifier: MIT
#include "driver/needs.h"

#include <algorithm>
#include <cstdint>
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

/// The union of two lists of commands, of which an empty one means all.
std::vector<std::uint32_t> both(const std::vector<std::uint32_t>& one,
                                const std::vector<std::uint32_t>& other) {
  std::vector<std::uint32_t> all;
  if (!one.empty() && !other.empty()) {
    std::ranges::set_union(one, other, std::back_inserter(all));
  }
  return all;
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
  for (const SystemCall& call : other.system_calls) {
    const auto known = std::ranges::find(system_calls, call.name, &SystemCall::name);
    if (known == system_calls.end()) {
      system_calls.push_back(call);
    } else {
      known->commands = both(known->commands, call.commands);
    }
  }
  add_missing(devices, other.devices, &DeviceNode::path);
}

std::vector<Needs::Capability> Needs::useful_capabilities() const {
  std::vector<Capability> useful;
  std::ranges::copy_if(capabilities, std::back_inserter(useful),
                       [this](const Capability& capability) { return network || !capability.for_network; });
  return useful;
}

} // namespace vmemfs
