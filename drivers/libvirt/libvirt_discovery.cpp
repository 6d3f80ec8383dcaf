// SPDX-License-Identifier: MIT
#include "drivers/libvirt/libvirt_discovery.h"

#include "driver/param_text.h"
#include "drivers/libvirt/connection/default_uri.h"
#include "drivers/libvirt/domain/domain.h"
#include "drivers/libvirt/domain/domain_process.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::libvirt {
namespace {

using Clock = std::chrono::steady_clock;

} // namespace

Result<void> LibvirtDiscovery::connect() {
  std::string uri = params_.text("uri");
  if (uri.empty()) {
    auto chosen = default_connection();
    if (!chosen) {
      return tl::unexpected{std::move(chosen.error())};
    }
    if (!chosen->listens) {
      return {};
    }
    uri = std::move(chosen->uri);
  }
  return connections_->to(uri).map([this](auto connection) { connection_ = std::move(connection); });
}

void LibvirtDiscovery::begin(std::chrono::steady_clock::time_point patience) {
  patience_ = patience;
  static_cast<void>(connect()); // scan() tries again
}

Result<std::vector<FoundVm>> LibvirtDiscovery::scan() {
  if (connection_ == nullptr) {
    if (auto connected = connect(); !connected) {
      return tl::unexpected{std::move(connected.error())};
    }
  }
  if (connection_ == nullptr) {
    return {};
  }
  const auto patience = std::max(std::exchange(patience_, {}) - Clock::now(), Clock::duration{});
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
  if (auto link = connection_->wait_for_link(wait); !link) {
    return tl::unexpected{std::move(link.error())};
  }
  const auto place = connection_->place();
  const bool is_xen = place && place->driver == "xen";
  std::vector<FoundVm> found;
  std::map<RunId, std::string> keys;
  for (const DomainRun& run : connection_->domains()) {
    if (is_xen && run.id == 0) { // the host's own system
      continue;
    }
    const RunId id{run.uuid, run.id};
    const auto known = keys_.find(id);
    std::string key = known != keys_.end() ? known->second : domain_key(*connection_, run);
    keys.emplace(id, key);
    found.push_back({.key = std::move(key),
                     .name = params_.flag("host") ? name_with_host(*connection_, run) : run.name,
                     .uuid = run.uuid,
                     .number = fmt::format("{}", run.id),
                     .params = params_of(run)});
  }
  keys_ = std::move(keys);
  return found;
}

std::string LibvirtDiscovery::params_of(const DomainRun& run) const {
  std::vector<KeyValue> pairs{{"uri", connection_->uri()}, {"domain", run.uuid}};
  for (const char* const flag : {"passthrough", "host"}) {
    if (params_.flag(flag)) {
      pairs.push_back({flag, "on"});
    }
  }
  if (params_.has("memory")) {
    pairs.push_back({"memory", std::string{params_.text("memory")}});
  }
  return format_pairs(pairs);
}

} // namespace vmemfs::libvirt
