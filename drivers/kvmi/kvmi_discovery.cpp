// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_discovery.h"

#include "drivers/kvmi/kvmi_params.h"

#include <algorithm>
#include <utility>

namespace vmemfs::kvmi {

Result<void> KvmiDiscovery::listen() {
  if (hub_ != nullptr) {
    return {};
  }
  const auto settings = hub_settings(params_);
  if (!settings) {
    return tl::unexpected{settings.error()};
  }
  return runtime_->hub(*settings).map([this](auto hub) { hub_ = std::move(hub); });
}

void KvmiDiscovery::begin(std::chrono::steady_clock::time_point patience) {
  patience_ = patience;
  static_cast<void>(listen()); // scan() tries again
}

Result<std::vector<FoundVm>> KvmiDiscovery::scan() {
  if (auto listening = listen(); !listening) {
    return tl::unexpected{std::move(listening.error())};
  }
  hub_->wait_for_any(std::exchange(patience_, {}));
  std::vector<FoundVm> found;
  const auto guests = hub_->guests();
  for (const auto& link : guests) {
    const Greeting& greeting = link->greeting();
    const auto same_uuid = std::ranges::count_if(
        guests, [&](const auto& other) { return other->greeting().uuid == greeting.uuid; });
    found.push_back({.key = GuestLink::key_of(greeting),
                     .name = greeting.name,
                     .uuid = greeting.uuid,
                     .number = greeting.uuid.substr(0, greeting.uuid.find('-')),
                     .params = params_of(params_, same_uuid == 1 ? greeting.uuid : greeting.name)});
  }
  return found;
}

} // namespace vmemfs::kvmi
