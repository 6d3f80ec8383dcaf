// SPDX-License-Identifier: MIT
#include "fs/files/text/vm_list_text.h"

#include "core/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

namespace vmemfs {
namespace {

std::string or_dash(std::string_view text) { return text.empty() ? "-" : printable(text); }

constexpr std::size_t kMaxReason = 2000;
constexpr std::string_view kAttachable = "ATTACHABLE"; ///< heading of that column

} // namespace

std::vector<ListedVm> listed_vms(const std::vector<DiscoveredVm>& discovered_vms, const VmRegistry& vms) {
  std::vector<ListedVm> listed;
  std::set<std::shared_ptr<Vm>> attached; // several drivers may have seen the same VM
  for (const DiscoveredVm& discovered : discovered_vms) {
    const auto here = vms.find_key(discovered.vm.key);
    if (here != nullptr && !attached.insert(here).second) {
      continue;
    }
    ListedVm vm{.directory = {},
                .name = discovered.vm.name,
                .uuid = discovered.vm.uuid,
                .driver = discovered.driver,
                .number = discovered.vm.number,
                .params = discovered.vm.params,
                .release = {},
                .reason = discovered.reason};
    if (here != nullptr) {
      vm.driver = here->guest().identity().driver;
      vm.directory = here->name();
      vm.name = here->guest().identity().name;
      vm.uuid = here->guest().identity().uuid;
      vm.release = here->guest().identity().release;
      vm.reason.clear();
    } else if (vm.reason.empty()) {
      vm.reason = "it does not answer, or has just ended; try again";
    }
    listed.push_back(std::move(vm));
  }
  return listed;
}

std::string vm_list_text(const std::vector<ListedVm>& vms) {
  if (vms.empty()) {
    return "no VM was found ('vmemfs check' tells what can be seen from here)\n";
  }
  std::size_t width = std::string_view{"NAME"}.size();
  for (const ListedVm& vm : vms) {
    width = std::max(width, or_dash(vm.directory.empty() ? vm.name : vm.directory).size());
  }
  std::string text = fmt::format("{:<{}}  {:<8}  {:<8}  {:<36}  {}  {}\n", "NAME", width, "DRIVER", "NUMBER",
                                 "UUID", kAttachable, "RELEASE");
  for (const ListedVm& vm : vms) {
    text += fmt::format("{:<{}}  {:<8}  {:<8}  {:<36}  {:<{}}  {}\n",
                        or_dash(vm.directory.empty() ? vm.name : vm.directory), width, vm.driver,
                        or_dash(vm.number), or_dash(vm.uuid), vm.reason.empty() ? "yes" : "no",
                        kAttachable.size(), or_dash(vm.release));
    if (!vm.reason.empty()) {
      text += fmt::format("    {}\n", printable(vm.reason, kMaxReason));
    }
  }
  return text;
}

std::string vm_list_json(const std::vector<ListedVm>& vms) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const auto or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::ordered_json{} : nlohmann::ordered_json(text);
  };
  for (const ListedVm& vm : vms) {
    list.push_back({{"name", vm.name},
                    {"directory", or_null(vm.directory)},
                    {"uuid", or_null(vm.uuid)},
                    {"driver", vm.driver},
                    {"number", vm.number},
                    {"params", vm.params},
                    {"release", or_null(vm.release)},
                    {"attachable", vm.reason.empty()},
                    {"reason", or_null(vm.reason)}});
  }
  // Names may be invalid UTF-8.
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

} // namespace vmemfs
