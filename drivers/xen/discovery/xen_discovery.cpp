// SPDX-License-Identifier: MIT
#include "drivers/xen/discovery/xen_discovery.h"

#include "drivers/xen/discovery/find_domain.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::xen {

Result<void> XenDiscovery::connect() {
  auto control = open_control();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  auto store = Store::open();
  if (!store) {
    return tl::unexpected{store.error()};
  }
  for (const char* const path : {kDomainCame, kDomainLeft}) {
    if (auto watched = store->watch(path); !watched) {
      return watched;
    }
  }
  control_ = std::move(*control);
  store_ = std::move(*store);
  unfinished_ = true;
  return {};
}

Result<bool> XenDiscovery::domains_changed() {
  bool any = false;
  for (;;) {
    const auto event = store_->next_event();
    if (!event) {
      return tl::unexpected{event.error()};
    }
    if (!*event) {
      return any;
    }
    any = true;
  }
}

/// A domain that is still being built does not have all of its memory and may have no name.
Result<void> XenDiscovery::list() {
  const auto domains = all_domains(control_.get());
  if (!domains) {
    return tl::unexpected{domains.error()};
  }
  unfinished_ = false;
  found_.clear();
  for (const DomainInfo& domain : *domains) {
    if (domain.id == 0 || domain.dying) {
      continue;
    }
    if (!store_->is_introduced(domain.id)) {
      unfinished_ = true;
      continue;
    }
    found_.push_back({.key = key_of(domain),
                      .name = store_->name_of(domain.id),
                      .uuid = domain.uuid,
                      .number = fmt::format("{}", domain.id),
                      .params = fmt::format("domain={}", domain.id)});
  }
  return {};
}

Result<std::vector<FoundVm>> XenDiscovery::scan() {
  if (!store_) {
    if (auto connected = connect(); !connected) {
      return tl::unexpected{std::move(connected.error())};
    }
  }
  const auto changed = domains_changed();
  if (!changed) { // xenstored may have been restarted
    store_.reset();
    return tl::unexpected{changed.error()};
  }
  if (*changed || unfinished_) {
    if (auto listed = list(); !listed) {
      return tl::unexpected{std::move(listed.error())};
    }
  }
  return found_;
}

} // namespace vmemfs::xen
