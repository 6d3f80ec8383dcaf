// SPDX-License-Identifier: MIT
#include "drivers/qemu/qemu_checks.h"

#include "core/text.h"
#include "drivers/qemu/discovery/find_qemu.h"
#include "drivers/qemu/discovery/qemu_discovery.h"
#include "drivers/qemu/monitor/monitor_socket.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "host/process_memory.h"
#include "util/work_limit.h"

#include <cerrno>
#include <chrono>
#include <fmt/format.h>
#include <string_view>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

/// For all VMs.
constexpr std::chrono::seconds kMaxTime{20};

std::string title(const FoundVm& vm) {
  return vm.name.empty() ? fmt::format("qemu {}", vm.number)
                         : fmt::format("qemu {} ({})", vm.number, printable(vm.name, 20));
}

HostCheck check_memory(const FoundVm& vm, pid_t pid) {
  const auto access = check_process_memory_access(pid);
  return {title(vm) + " memory", access.has_value(), Weight::needed,
          access ? "can be read" : access.error().text};
}

HostCheck check_monitor(const FoundVm& vm, const FoundQemu& qemu) {
  HostCheck check{title(vm) + " monitor", false, Weight::helpful, qemu.no_monitor};
  for (const std::string& path : qemu.monitor_paths) {
    check.detail += check.detail.empty() ? "" : "; ";
    if (is_path_address(path) && ::access(path.c_str(), R_OK | W_OK) != 0) {
      check.detail += fmt::format(
          "cannot open {}: Permission denied; run vmemfs as the user that QEMU runs as, or as root", path);
    } else if (has_client(path, qemu.process->pid())) {
      check.detail += fmt::format("{} is in use by another client; give QEMU one more QMP socket (-qmp "
                                  "unix:PATH,server=on,wait=off), or end that client",
                                  path);
    } else {
      check.good = true;
      check.detail = path;
      return check;
    }
  }
  check.detail += "; without it this driver has no registers, pause and resume";
  return check;
}

} // namespace

std::vector<HostCheck> check_qemus(std::span<const ParamSpec> params) {
  QemuDiscovery discovery;
  const auto found = discovery.scan();
  if (!found) {
    return {{"QEMUs of this host", false, Weight::helpful, found.error().message()}};
  }
  if (found->empty()) {
    return {{"QEMUs of this host", true, Weight::helpful, "no running QEMU is visible"}};
  }
  std::vector<HostCheck> checks;
  const WorkLimit limit{WorkLimit::Clock::now() + kMaxTime};
  for (const FoundVm& vm : *found) {
    if (WorkLimit::over()) {
      checks.push_back(
          {"QEMUs of this host", false, Weight::helpful,
           fmt::format("{} of {} were checked within {} s", checks.size(), found->size(), kMaxTime.count())});
      break;
    }
    const auto qemu = Params::parse(vm.params, params).and_then(find_qemu);
    if (qemu) {
      checks.push_back(check_memory(vm, qemu->process->pid()));
      checks.push_back(check_monitor(vm, *qemu));
    } else if (qemu.error().kind != ErrorKind::not_found && qemu.error().kind != ErrorKind::vm_gone) {
      checks.push_back({title(vm), false, Weight::needed, qemu.error().message()});
    }
  }
  return checks;
}

} // namespace vmemfs::qemu
