// SPDX-License-Identifier: MIT
#include "drivers/xen/discovery/find_domain.h"

#include "core/text.h"
#include "driver/discovery.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>

namespace vmemfs::xen {
namespace {

std::string lower(std::string_view text) {
  std::string result{text};
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

std::string choice_text(const std::vector<DomainInfo>& domains, const Store& store) {
  std::vector<std::string> names;
  for (const DomainInfo& domain : domains) {
    if (domain.id != 0) {
      names.push_back(fmt::format("{} ({})", domain.id, printable(store.name_of(domain.id))));
    }
  }
  return names.empty() ? "there are no domains but domain 0"
                       : fmt::format("there are {}", fmt::join(names, ", "));
}

} // namespace

Result<DomainInfo> find_domain(xc_interface* control, const Store& store, std::string_view wanted) {
  auto domains = all_domains(control);
  if (!domains) {
    return tl::unexpected{domains.error()};
  }
  std::erase_if(*domains, [](const DomainInfo& domain) { return domain.dying; });
  const auto take = [&](auto&& fits) {
    std::vector<DomainInfo> found;
    std::ranges::copy_if(*domains, std::back_inserter(found), fits);
    return found;
  };
  const auto id = parse_u64(wanted);
  auto found = take([&](const DomainInfo& domain) { return id && domain.id == *id; });
  if (found.empty()) {
    found = take([&](const DomainInfo& domain) { return domain.uuid == lower(wanted); });
  }
  if (found.empty()) {
    found = take([&](const DomainInfo& domain) { return store.name_of(domain.id) == wanted; });
  }
  if (found.empty()) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("there is no domain '{}'; {}", printable(wanted), choice_text(*domains, store)));
  }
  if (found.size() > 1) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("{} domains are named '{}'; give the id: {}", found.size(), printable(wanted),
                            choice_text(found, store)));
  }
  if (found.front().id == 0) {
    return fail(
        ErrorKind::unsupported, kOrigin,
        "domain 0 is the system that vmemfs runs in, and Xen does not map a domain's own memory as foreign");
  }
  return found.front();
}

std::string key_of(const DomainInfo& domain) { return xen_domain_key(domain.id, domain.uuid); }

} // namespace vmemfs::xen
