// SPDX-License-Identifier: MIT
#include "drivers/kvm/discovery/kvm_discovery.h"

#include "drivers/kvm/identity/vm_process.h"
#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <sys/resource.h>

namespace vmemfs::kvm {
namespace {

constexpr std::chrono::milliseconds kBetweenWalks{500};
/// Of the time, walks take at most the 20th part.
constexpr int kRestPerWalk = 20;
/// A walk may miss a file that gets another number meanwhile, but hardly twice.
constexpr unsigned kMissedIsGone = 2;

/// As for QEMUs: an attached VM has some 8 descriptors.
OwnerShares::Limits limits() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t of_user = std::clamp<rlim_t>(limit.rlim_cur / 64, 16, 1024);
  return {of_user, 4 * of_user, ~std::size_t{0}};
}

} // namespace

KvmDiscovery::KvmDiscovery(std::shared_ptr<DriverRuntime> runtime)
    : runtime_{std::move(runtime)}, shares_{limits()} {}

Result<std::vector<FoundVm>> KvmDiscovery::scan() {
  if (runtime_ == nullptr) {
    runtime_ = std::make_shared<KvmRuntime>();
  }
  const auto walk = std::static_pointer_cast<const KvmRuntime>(runtime_)->walk();
  if (!walk) {
    return tl::unexpected{walk.error()};
  }
  const auto begin = Clock::now();
  if (begin >= next_walk_) {
    const auto listed = (*walk)->list_all();
    const auto end = Clock::now();
    next_walk_ = begin + std::max<Clock::duration>(kBetweenWalks, kRestPerWalk * (end - begin));
    if (!listed) {
      return tl::unexpected{listed.error()};
    }
    take(*listed);
  }
  std::erase_if(known_, [](const auto& entry) { return !entry.second.process.alive(); });
  return found();
}

void KvmDiscovery::take(const std::vector<ListedVm>& listed) {
  for (auto& [id, known] : known_) {
    ++known.missed;
  }
  std::map<pid_t, std::uint64_t> next_index;
  for (const ListedVm& vm : listed) {
    const Id id{vm.process, vm.key};
    const std::uint64_t index = next_index[vm.process]++;
    const auto entry = known_.find(id);
    if (entry == known_.end()) {
      add(id, index);
    } else {
      entry->second.missed = 0;
    }
  }
  std::erase_if(known_, [](const auto& entry) { return entry.second.missed >= kMissedIsGone; });
}

void KvmDiscovery::add(const Id& id, std::uint64_t index) {
  const pid_t pid = id.first;
  auto process = Process::open(pid);
  const auto owner = process_owner(pid);
  if (!process || !owner || is_sandbox(*process)) {
    return;
  }
  auto share = shares_.take(*owner);
  if (!share) {
    if (!reported_full_) {
      reported_full_ = true;
      log::warning("kvm: uid {} has more VMs than are shown; raise the limit of open files (ulimit -n)",
                   *owner);
    }
    return;
  }
  FoundVm vm{.key = key_of_vm(*process, index),
             .name = name_of_process(*process, index),
             .uuid = {},
             .number = index == 0 ? fmt::format("{}", pid) : fmt::format("{}.{}", pid, index),
             .params = index == 0 ? fmt::format("pid={}", pid) : fmt::format("pid={},vm={}", pid, index),
             .owner = *owner};
  if (process->alive()) {
    known_.emplace(id, Known{std::move(*process), std::move(vm), std::move(*share)});
  }
}

std::vector<FoundVm> KvmDiscovery::found() const {
  std::vector<const Known*> known;
  std::ranges::transform(known_, std::back_inserter(known), [](const auto& entry) { return &entry.second; });
  std::ranges::stable_sort(known, {}, [](const Known* entry) { return entry->process.start_time(); });
  std::vector<FoundVm> vms;
  std::ranges::transform(known, std::back_inserter(vms), &Known::vm);
  return vms;
}

} // namespace vmemfs::kvm
