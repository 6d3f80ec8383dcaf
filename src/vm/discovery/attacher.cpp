// SPDX-License-Identifier: MIT
#include "vm/discovery/attacher.h"

#include "core/text.h"
#include "util/work_limit.h"
#include "vm/vm_name.h"

#include <fmt/format.h>

namespace vmemfs {

Result<std::shared_ptr<Vm>> Attacher::attach(const VmSpec& spec) {
  if (!spec.name.empty()) { // before a VM is queried in vain
    if (auto checked = check_vm_name(spec.name); !checked) {
      return tl::unexpected{std::move(checked.error())};
    }
    if (const auto here = vms_.find(spec.name); here != nullptr && !here->gone()) {
      return name_is_taken(spec.name);
    }
  }
  const auto options = Params::parse(spec.options, vm_option_specs());
  if (!options) {
    return tl::unexpected{options.error()};
  }
  const WorkLimit limit{WorkLimit::Clock::time_point::max(), stop_.get_token()};
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("vm");
  }
  auto driver = open_(spec);
  if (!driver) {
    return tl::unexpected{std::move(driver.error())};
  }
  std::string name = spec.name.empty() ? safe_vm_name((*driver)->identity().name) : spec.name;
  if (name.empty()) {
    name = (*driver)->identity().driver;
  }
  VmOptions all_options = options_.of(name);
  set_options(*options, all_options);
  return vms_.add(std::move(name), std::move(*driver), all_options);
}

Result<Attacher::AttachResult> Attacher::attach_found(std::string_view driver, const FoundVm& found,
                                                      NameClaim claim, Vm* instead_of) {
  if (auto here = vms_.find_key(found.key); here != nullptr && here.get() != instead_of) {
    return AttachResult{std::move(here), false};
  }
  const WorkLimit limit{WorkLimit::Clock::time_point::max(), stop_.get_token()};
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("vm");
  }
  auto opened = open_({.name = {}, .driver = std::string{driver}, .params = found.params});
  if (!opened) {
    return tl::unexpected{std::move(opened.error())};
  }
  const VmIdentity& identity = (*opened)->identity(); // more complete than what the discovery knows
  const std::string base = vm_base_name(identity.name, identity.uuid, found.number);
  if (instead_of != nullptr) {
    if (instead_of->run_state().in_use()) {
      return fail(ErrorKind::busy, "vm", "the VM is in use through its other driver");
    }
    static_cast<void>(instead_of->detach()); // reports a failure itself
  }
  auto [vm, is_new] = vms_.add_found({base, found.number, claim}, std::move(*opened), options_);
  return AttachResult{std::move(vm), is_new};
}

Result<void> Attacher::detach(std::string_view name) {
  const auto vm = vms_.find(name);
  if (vm == nullptr) {
    return fail(ErrorKind::not_found, "vm", fmt::format("there is no VM '{}' here", printable(name)));
  }
  return vm->detach();
}

} // namespace vmemfs
