#include "vm/vm_registry.h"

#include "core/text.h"
#include "util/worker.h"

#include <algorithm>
#include <fmt/format.h>

namespace vmemfs {

Result<void> check_vm_name(std::string_view name) {
  constexpr std::size_t kLongest = 255; // NAME_MAX
  const bool has_bad_character = std::ranges::any_of(
      name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '/' || c == 0x7f; });
  if (name.empty() || name.size() > kLongest || name.front() == '.' || has_bad_character) {
    return fail(ErrorKind::invalid, "vm",
                fmt::format("'{}' can't be a VM's name here: 1 to {} bytes, no '/', no control characters, "
                            "no '.' in front",
                            printable(name), kLongest));
  }
  return {};
}

Result<std::shared_ptr<Vm>> VmRegistry::add(std::string name, std::unique_ptr<Driver> driver) {
  if (auto checked = check_vm_name(name); !checked) {
    return tl::unexpected{checked.error()};
  }
  const std::scoped_lock lock{mutex_};
  if (std::ranges::any_of(vms_, [&](const auto& entry) { return entry.second->name() == name; })) {
    return fail(ErrorKind::busy, "vm", fmt::format("there is a VM '{}' already; give another NAME", name));
  }
  const VmId id = next_id_++;
  auto vm = std::make_shared<Vm>(id, std::move(name), std::move(driver),
                                 [this, id](Vm& changed) { on_changed(id, changed.driver().gone()); });
  vms_.emplace(id, vm);
  if (vm->driver().gone()) { // it ended before anybody listened
    on_changed(id, true);
  }
  return vm;
}

void VmRegistry::on_changed(VmId id, bool gone) {
  worker_.post([this, id, gone] {
    if (gone) {
      remove(id);
      return;
    }
    if (const auto vm = find(id); vm != nullptr && callbacks_.changed) {
      callbacks_.changed(*vm);
    }
  });
}

void VmRegistry::remove(VmId id) {
  std::shared_ptr<Vm> vm;
  {
    const std::scoped_lock lock{mutex_};
    const auto found = vms_.find(id);
    if (found == vms_.end()) {
      return;
    }
    vm = std::move(found->second);
    vms_.erase(found);
  }
  if (callbacks_.removed) {
    callbacks_.removed(*vm);
  }
}

std::shared_ptr<Vm> VmRegistry::find(VmId id) const {
  const std::scoped_lock lock{mutex_};
  const auto found = vms_.find(id);
  return found == vms_.end() ? nullptr : found->second;
}

std::shared_ptr<Vm> VmRegistry::find(std::string_view name) const {
  const std::scoped_lock lock{mutex_};
  const auto found =
      std::ranges::find_if(vms_, [&](const auto& entry) { return entry.second->name() == name; });
  return found == vms_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Vm>> VmRegistry::all() const {
  const std::scoped_lock lock{mutex_};
  std::vector<std::shared_ptr<Vm>> vms;
  std::ranges::transform(vms_, std::back_inserter(vms), [](const auto& entry) { return entry.second; });
  return vms;
}

} // namespace vmemfs
