// SPDX-License-Identifier: MIT
#include "fs/privileges/privileges.h"

#include "fs/privileges/capabilities.h"
#include "fs/privileges/system_call_filter.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

/// packaging/vmemfs.service has the same list, and CAP_SYS_ADMIN for mounting.
constexpr std::array kNeededCapabilities{
    CAP_SYS_PTRACE,         // process_vm_readv, pidfd_getfd, /proc/PID/{fd,mem,pagemap,smaps} of other users
    CAP_DAC_OVERRIDE,       // their monitors, memory files and dumps
    CAP_CHECKPOINT_RESTORE, // /proc/PID/map_files: memory files that the VMM has closed
};

std::string last_error() { return std::generic_category().message(errno); }

void raise_file_limit(PrivilegeReport& report) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return;
  }
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    report.problems.push_back(fmt::format("cannot raise the limit on open files: {}", last_error()));
  }
}

void keep_memory_to_ourselves(PrivilegeReport& report) {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    report.problems.push_back(
        fmt::format("a core dump or a tracer may expose guest memory in our buffers: {}", last_error()));
  }
}

void gain_nothing(PrivilegeReport& report) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    report.problems.push_back(
        fmt::format("programs may still be executed with more privileges: {}", last_error()));
  }
}

/// libvirt gives up all capabilities before it starts ssh, and fails if root lacks CAP_SETPCAP for that. The
/// capability has no other use: the bounding set is as small as the others, so nothing can be gained with it.
std::vector<int> needed_capabilities(Network network) {
  std::vector<int> needed{kNeededCapabilities.begin(), kNeededCapabilities.end()};
  if (network == Network::needed && ::geteuid() == 0) {
    needed.push_back(CAP_SETPCAP);
  }
  return needed;
}

std::string drop_capabilities(Network network, PrivilegeReport& report) {
  auto kept = keep_capabilities(needed_capabilities(network));
  if (!kept) {
    report.problems.push_back(kept.error().text);
    return "more capabilities than needed";
  }
  return kept->empty() ? "no capabilities" : fmt::format("capabilities {}", *kept);
}

std::string filter_system_calls(Network network, PrivilegeReport& report) {
  const auto refused = refuse_unused_system_calls(network == Network::needed);
  if (!refused) {
    report.problems.push_back(refused.error().text);
    return {};
  }
  return fmt::format(", {} system calls refused{}", *refused,
                     network == Network::needed ? ", the network allowed" : "");
}

} // namespace

PrivilegeReport give_up_privileges(Network network) {
  PrivilegeReport report;
  raise_file_limit(report);
  const std::string capabilities = drop_capabilities(network, report);
  keep_memory_to_ourselves(report);
  gain_nothing(report);
  const std::string calls = filter_system_calls(network, report);
  report.summary = fmt::format("runs with {}{}", capabilities, calls);
  return report;
}

} // namespace vmemfs
