// SPDX-License-Identifier: MIT
#include "drivers/kvm/kvm_checks.h"

#include "core/text.h"
#include "drivers/kvm/discovery/kvm_discovery.h"
#include "drivers/kvm/identity/vm_process.h"
#include "drivers/kvm/kvm_runtime.h"
#include "host/process.h"
#include "host/process_memory.h"
#include "util/work_limit.h"

#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <sys/types.h>
#include <utility>

namespace vmemfs::kvm {
namespace {

/// For all VMs.
constexpr std::chrono::seconds kMaxTime{20};

/// The thread that traces the process's first one, as a debugger of all of them does; 0: none.
std::uint64_t tracer_of(pid_t pid) {
  constexpr std::string_view kField = "\nTracerPid:";
  const auto status = read_proc_file(fmt::format("/proc/{}/status", pid), 1 << 16);
  const std::size_t at = status ? status->find(kField) : std::string::npos;
  if (at == std::string::npos) {
    return 0;
  }
  const std::string_view rest = std::string_view{*status}.substr(at + kField.size());
  return parse_u64(trim(rest.substr(0, rest.find('\n')))).value_or(0);
}

HostCheck check_memory(const std::string& title, pid_t pid) {
  const auto access = check_process_memory_access(pid);
  return {title + " memory", access.has_value(), Weight::needed,
          access ? "can be read" : access.error().text};
}

HostCheck check_registers(const std::string& title, pid_t pid) {
  const std::uint64_t tracer = tracer_of(pid);
  return {title + " registers", tracer == 0, Weight::helpful,
          tracer == 0 ? "no debugger is in the way"
                      : fmt::format("process {} traces it, so that there are no registers and no pause; end "
                                    "that debugger",
                                    tracer)};
}

} // namespace

std::vector<HostCheck> check_vms(const std::shared_ptr<DriverRuntime>& runtime) {
  const std::string what = "kvm memory slots";
  if (const auto walk = kvm_runtime(runtime)->walk(); !walk) {
    return {{what, false, Weight::needed, walk.error().text}};
  }
  if (!in_first_pid_namespace()) {
    return {{what, true, Weight::helpful,
             "the BPF program is loaded; in this container VMs have to be named with --vm, and have no "
             "registers and no pause"}};
  }
  const auto found = KvmDiscovery{runtime}.scan();
  if (!found) {
    return {{what, false, Weight::needed, found.error().text}};
  }
  std::vector<HostCheck> checks{
      {what, true, Weight::needed, fmt::format("the BPF program is loaded; VMs: {}", found->size())}};
  const WorkLimit limit{WorkLimit::Clock::now() + kMaxTime};
  for (const FoundVm& vm : *found) {
    if (WorkLimit::over()) {
      checks.push_back({"VMs of KVM", false, Weight::helpful,
                        fmt::format("not all of them were checked within {} s", kMaxTime.count())});
      break;
    }
    const auto pid = static_cast<pid_t>(parse_u64(vm.number.substr(0, vm.number.find('.'))).value_or(0));
    const auto process = Process::open(pid);
    if (!process || is_qemu(*process)) {
      continue; // it has ended, or the driver qemu tells more
    }
    const std::string title = fmt::format("kvm {} ({})", vm.number, printable(vm.name, 20));
    checks.push_back(check_memory(title, pid));
    checks.push_back(check_registers(title, pid));
  }
  return checks;
}

} // namespace vmemfs::kvm
