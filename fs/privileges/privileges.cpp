// SPDX-License-Identifier: MIT
#include "fs/privileges/privileges.h"

#include "fs/privileges/capabilities.h"
#include "fs/privileges/system_call_filter.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <system_error>
#include <vector>

namespace vmemfs {
namespace {

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

std::string drop_capabilities(const Needs& needs, PrivilegeReport& report) {
  std::vector<int> needed;
  std::ranges::transform(needs.useful_capabilities(), std::back_inserter(needed), &Needs::Capability::number);
  auto kept = keep_capabilities(needed);
  if (!kept) {
    report.problems.push_back(kept.error().text);
    return "more capabilities than needed";
  }
  return kept->empty() ? "no capabilities" : fmt::format("capabilities {}", *kept);
}

std::string filter_system_calls(const Needs& needs, PrivilegeReport& report) {
  const auto refused = refuse_unused_system_calls(needs);
  if (!refused) {
    report.problems.push_back(refused.error().text);
    return {};
  }
  return fmt::format(", {} system calls refused{}", *refused, needs.network ? ", the network allowed" : "");
}

} // namespace

PrivilegeReport give_up_privileges(const Needs& needs) {
  PrivilegeReport report;
  raise_file_limit(report);
  const std::string capabilities = drop_capabilities(needs, report);
  keep_memory_to_ourselves(report);
  gain_nothing(report);
  const std::string calls = filter_system_calls(needs, report);
  report.summary = fmt::format("runs with {}{}", capabilities, calls);
  return report;
}

} // namespace vmemfs
