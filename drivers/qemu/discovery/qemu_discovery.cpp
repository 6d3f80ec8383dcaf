// SPDX-License-Identifier: MIT
#include "drivers/qemu/discovery/qemu_discovery.h"

#include "drivers/qemu/discovery/command_line.h"
#include "util/log.h"
#include "util/users/accounts.h"

#include <algorithm>
#include <fmt/format.h>
#include <poll.h>
#include <string_view>
#include <sys/resource.h>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

/// A process may become a QEMU by exec, mostly soon after its start: so a new process is checked in this many
/// scans, ...
constexpr unsigned kEveryTime = 20;
/// ... and after that each scan checks this many of the older processes, in turn. This is the main cost of a
/// scan while nothing happens.
constexpr std::size_t kMaxRechecks = 64;

/// QEMUs of all users but root and the one who mounted, in times of what one of them may have.
constexpr std::size_t kUsersWithMaxVms = 4;

/// An attached VM has some 8 descriptors, so that those of all other users take half of them.
std::size_t max_vms_of_user() {
  constexpr rlim_t kMin = 16;
  constexpr rlim_t kMax = 1024;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::clamp(limit.rlim_cur / 64, kMin, kMax);
}

/// Recognised by its executable, or by its name if the executable is not accessible; then it can be listed
/// but not attached.
bool runs_qemu(pid_t pid) {
  const auto exe = exe_path(pid);
  if (exe || exe.error().kind != ErrorKind::permission) {
    return exe && is_qemu(*exe);
  }
  const auto name = comm(pid);
  return name && is_qemu(*name);
}

/// libvirt starts a QEMU without a machine to query its capabilities; that is not a VM.
bool is_vm(const QemuCommandLine& line) { return line.machine != "none"; }

} // namespace

Result<std::vector<FoundVm>> QemuDiscovery::scan() {
  forget_exited();
  std::vector<pid_t> pids = list_pids();
  if (pids.empty()) {
    return fail(ErrorKind::source_failed, "qemu",
                "cannot list the processes in /proc; check that it is mounted");
  }
  std::ranges::sort(pids);
  std::erase_if(pids, [&](pid_t pid) { return qemus_.contains(pid); });

  std::unordered_map<pid_t, unsigned> scan_counts;
  std::vector<pid_t> seen_before;
  for (const pid_t pid : pids) {
    const auto known = others_.find(pid);
    const unsigned times = known == others_.end() ? 0 : known->second;
    scan_counts.emplace(pid, std::min(times + 1, kEveryTime));
    if (times < kEveryTime) {
      take_if_qemu(pid);
    } else {
      seen_before.push_back(pid);
    }
  }
  others_ = std::move(scan_counts);
  const std::size_t count = std::min(seen_before.size(), kMaxRechecks);
  for (std::size_t i = 0; i < count; ++i) {
    take_if_qemu(seen_before[next_recheck_++ % seen_before.size()]);
  }

  std::vector<const Known*> known;
  std::ranges::transform(qemus_, std::back_inserter(known), [](const auto& entry) { return &entry.second; });
  std::ranges::sort(known, {}, [](const Known* entry) { return entry->process.start_time(); });
  std::vector<FoundVm> found;
  std::ranges::transform(known, std::back_inserter(found), &Known::vm);
  return found;
}

/// With one system call for all, as long as none has ended.
void QemuDiscovery::forget_exited() {
  std::vector<pollfd> waits;
  waits.reserve(qemus_.size());
  for (const auto& [pid, known] : qemus_) {
    waits.push_back({known.process.pidfd(), POLLIN, 0});
  }
  if (::poll(waits.data(), waits.size(), 0) != 0) {
    std::erase_if(qemus_, [](const auto& entry) { return !entry.second.process.alive(); });
  }
}

void QemuDiscovery::take_if_qemu(pid_t pid) {
  if (!runs_qemu(pid)) {
    return;
  }
  auto process = Process::open(pid);
  const auto owner = process_owner(pid);
  if (!process || !owner || !has_room_for(*owner)) {
    return;
  }
  const auto arguments = command_line(pid);
  if (!arguments || arguments->empty()) {
    return; // it has ended, or is being created
  }
  QemuCommandLine line = parse_qemu_command_line(*arguments);
  if (!is_vm(line) || !process->alive()) {
    return;
  }
  FoundVm vm{.key = process_key(*process),
             .name = std::move(line.name),
             .uuid = std::move(line.uuid),
             .number = fmt::format("{}", pid),
             .params = fmt::format("pid={}", pid),
             .manager = std::ranges::any_of(line.qmp, &MonitorSocket::libvirts) ? "libvirt" : "",
             .owner = *owner};
  qemus_.emplace(pid, Known{std::move(*process), std::move(vm)});
}

/// Each known process takes a descriptor, and some more if it is attached.
bool QemuDiscovery::has_room_for(uid_t owner) {
  if (is_own_or_root(owner)) {
    return true;
  }
  std::size_t others = 0;
  std::size_t of_owner = 0;
  for (const auto& [pid, known] : qemus_) {
    others += is_own_or_root(*known.vm.owner) ? 0 : 1;
    of_owner += known.vm.owner == owner ? 1 : 0;
  }
  const std::size_t limit = max_vms_of_user();
  if (of_owner < limit && others < kUsersWithMaxVms * limit) {
    return true;
  }
  if (!reported_full_) {
    reported_full_ = true;
    log::warning(
        "qemu: uid {} has more VMs than are shown: of users other than root and the one who mounted, at "
        "most {} of one and {} of all; raise the limit of open files (ulimit -n)",
        owner, limit, kUsersWithMaxVms * limit);
  }
  return false;
}

} // namespace vmemfs::qemu
