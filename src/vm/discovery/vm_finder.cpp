// SPDX-License-Identifier: MIT
#include "vm/discovery/vm_finder.h"

#include "util/log.h"
#include "util/users/accounts.h"
#include "util/work_limit.h"
#include "vm/vm_name.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <ranges>
#include <set>

namespace vmemfs {

VmFinder::VmFinder(std::vector<Source> sources, std::vector<VmSpec> wanted, Attacher& attacher,
                   Callbacks callbacks, Pace pace)
    : attacher_{attacher}, callbacks_{std::move(callbacks)}, pace_{pace}, sources_{std::move(sources)},
      last_keys_(sources_.size()), report_limit_{pace.max_reports, pace.report_window}, scanner_{1} {
  for (VmSpec& spec : wanted) {
    Refusal refusal{spec.name, spec.driver, {}, {}};
    wanted_.push_back({.spec = std::move(spec), .refusal = std::move(refusal)});
  }
}

VmFinder::~VmFinder() { stop(); }

void VmFinder::begin(Clock::duration limit) {
  for (const Source& source : sources_) {
    source.discovery->begin(Clock::now() + limit / 2);
  }
  first_scan_jobs_ = CompletionToken{nullptr, [this](void*) {
                                       const MutexLock lock{mutex_};
                                       first_scan_done_ = true;
                                       first_scan_.notify_all();
                                     }};
  scanner_.post([this] { scan(); });
  const MutexLock lock{mutex_};
  first_scan_.wait_for(mutex_, limit, [this]() REQUIRES(mutex_) { return first_scan_done_; });
}

void VmFinder::stop() {
  attacher_.cancel();
  scanner_.stop();
  attachers_.stop();
}

void VmFinder::scan() {
  const auto now = Clock::now();
  bool found_new = false;
  for (std::size_t source = 0; source < sources_.size(); ++source) {
    found_new = take_in(source, now) || found_new;
  }
  check_wanted(now, found_new);
  try_due(now);
  report_left_out(now);
  scanner_.post_after(pace_.scan, [this] { scan(); });
}

bool VmFinder::is_known(std::size_t source, const std::vector<FoundVm>& vms) {
  std::vector<std::string>& last = last_keys_[source];
  if (std::ranges::equal(vms, last, {}, &FoundVm::key)) {
    return true;
  }
  last.clear();
  std::ranges::transform(vms, std::back_inserter(last), &FoundVm::key);
  return false;
}

/// Updates the list; true if it has a new VM.
bool VmFinder::take_in(std::size_t source, Clock::time_point now) {
  auto vms = sources_[source].discovery->scan();
  note_scan(source, vms);
  if (!vms || is_known(source, *vms)) {
    return false;
  }
  const MutexLock lock{mutex_};
  bool found_new = false;
  std::set<Key> here;
  for (FoundVm& vm : *vms) {
    const Key key{source, vm.key};
    here.insert(key);
    if (!found_.contains(key)) {
      Refusal refusal{vm.name, sources_[source].driver, vm.number, {}};
      std::string base = vm_base_name(vm.name, vm.uuid, vm.number);
      namesakes_[base].emplace(next_order_, vm.key);
      found_.emplace(key, Found{.vm = std::move(vm),
                                .since = now,
                                .order = next_order_++,
                                .base = std::move(base),
                                .refusal = std::move(refusal)});
      found_new = true;
    }
  }
  std::erase_if(found_, [&](const auto& entry) REQUIRES(mutex_) {
    const bool ended = entry.first.first == source && !here.contains(entry.first);
    if (ended) {
      forget_name(entry.second);
    }
    return ended;
  });
  return found_new;
}

void VmFinder::forget_name(const Found& ended) {
  const auto namesakes = namesakes_.find(ended.base);
  namesakes->second.erase(ended.order);
  if (namesakes->second.empty()) {
    namesakes_.erase(namesakes);
  }
}

void VmFinder::note_scan(std::size_t source, const Result<std::vector<FoundVm>>& seen) {
  std::optional<DiscoveryError> changed;
  {
    const MutexLock lock{mutex_};
    if (seen) {
      if (discovery_errors_.erase(source) != 0) {
        log::info("{}: discovery works again", sources_[source].driver);
      }
    } else {
      DiscoveryError error{sources_[source].driver, seen.error().text};
      DiscoveryError& last = discovery_errors_[source];
      if (last != error) {
        last = std::move(error);
        changed = last;
      }
    }
  }
  if (changed) {
    callbacks_.discovery_error(*changed);
  }
}

void VmFinder::report_left_out(Clock::time_point now) {
  std::size_t count = 0;
  {
    const MutexLock lock{mutex_};
    count = report_limit_.take_left_out(now);
  }
  if (count != 0 && callbacks_.refusals_left_out) {
    callbacks_.refusals_left_out(count);
  }
}

void VmFinder::check_wanted(Clock::time_point now, bool found_new) {
  std::vector<std::shared_ptr<Vm>> ended; // destroyed after the lock is released: ~Vm may wait for a driver
  const MutexLock lock{mutex_};
  for (Wanted& wanted : wanted_) {
    if (wanted.vm != nullptr && wanted.vm->gone()) {
      wanted.settled = wanted.vm->detached();
      ended.push_back(std::move(wanted.vm));
      found_new = true;
    }
    if (found_new) { // the new VM may be the wanted one
      wanted.backoff = {now, {}};
      wanted.once_more = wanted.trying; // the attempt may have begun before the VM
    }
  }
}

/// Wanted VMs are tried before discovered ones, and a discovered one waits for the end of an attempt that is
/// under way: a VM that is both gets the wanted name.
void VmFinder::try_due(Clock::time_point now) {
  struct Due {
    std::uint64_t order;
    Key key;
    AttachQueue::Owner owner;
  };
  std::vector<Due> due_found;
  std::vector<std::size_t> due_wanted;
  {
    const MutexLock lock{mutex_};
    const bool trying_wanted = std::ranges::any_of(wanted_, &Wanted::trying);
    for (auto& [key, found] : found_) {
      const bool waits = trying_wanted && now - found.since < pace_.preferred_driver_wait;
      if (found.trying || found.settled || waits || found.backoff.next > now) {
        continue;
      }
      const OtherDrivers others = other_drivers(key, found, now);
      found.settled = others == OtherDrivers::have_attached;
      if (others == OtherDrivers::none) {
        found.trying = true;
        due_found.push_back({found.order, key, found.vm.owner});
      }
    }
    std::ranges::sort(due_found, {}, &Due::order);
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      Wanted& wanted = wanted_[i];
      if (!wanted.trying && !wanted.settled && wanted.vm == nullptr && wanted.backoff.next <= now) {
        wanted.trying = true;
        due_wanted.push_back(i);
      }
    }
  }
  // The next scan starts while jobs of this one may still run; nobody waits for the jobs of later scans.
  const CompletionToken all_done = std::exchange(first_scan_jobs_, nullptr);
  const CompletionToken then_try_found{
      nullptr, [this, due_found = std::move(due_found), all_done](void*) {
        for (const Due& due : due_found) {
          attachers_.post(due.owner, [this, key = due.key, all_done] { return try_found(key); });
        }
      }};
  for (const std::size_t index : due_wanted) {
    attachers_.post({}, [this, index, then_try_found] { return try_wanted(index); });
  }
  attachers_.poll();
}

VmFinder::OtherDrivers VmFinder::other_drivers(const Key& key, const Found& found,
                                               Clock::time_point now) const {
  bool may_come = false;
  for (std::size_t better = 0; better < key.first; ++better) {
    const auto other = found_.find({better, found.vm.key});
    if (other == found_.end()) {
      may_come = may_come || (sources_[better].driver == found.vm.manager &&
                              now - found.since < pace_.preferred_driver_wait);
      continue;
    }
    if (other->second.settled) {
      return OtherDrivers::have_attached;
    }
    may_come = may_come || now - other->second.since < pace_.preferred_driver_wait;
  }
  return may_come ? OtherDrivers::may_attach : OtherDrivers::none;
}

/// The same VM, found by another driver, is not a namesake.
NameClaim VmFinder::claim_of(const Found& found) const {
  for (const auto& [order, key] : namesakes_.at(found.base)) {
    if (order >= found.order) {
      break;
    }
    if (key != found.vm.key) {
      return NameClaim::with_number;
    }
  }
  return NameClaim::bare;
}

VmFinder::LessPreferred VmFinder::less_preferred(const Key& key) const {
  for (std::size_t source = key.first + 1; source < sources_.size(); ++source) {
    const auto other = found_.find({source, key.second});
    if (other != found_.end() && other->second.attached) {
      auto vm = other->second.attached->lock();
      const bool gone = vm == nullptr || vm->gone();
      return {std::move(vm), gone}; // the caller destroys it after the lock is released
    }
  }
  return {};
}

bool VmFinder::try_found(const Key& key) {
  FoundVm vm;
  NameClaim claim{};
  LessPreferred other;
  std::stop_token stop{};
  {
    const MutexLock lock{mutex_};
    const auto found = found_.find(key);
    if (found == found_.end()) {
      return true;
    }
    vm = found->second.vm;
    stop = found->second.stop.get_token();
    claim = claim_of(found->second);
    other = less_preferred(key);
    if (other.detached) {
      found->second.trying = false;
      found->second.settled = true;
      return true;
    }
    if (other.vm != nullptr && other.vm->run_state().in_use()) {
      found->second.trying = false;
      found->second.refusal.reason = fmt::format(
          "the driver {} has it, until no file of its memory is open and it is not paused by vmemfs",
          other.vm->guest().identity().driver);
      return true;
    }
  }
  const WorkLimit limit{Clock::time_point::max(), stop};
  auto attached = attacher_.attach_found(sources_[key.first].driver, vm, claim, other.vm.get());
  std::optional<Refusal> changed;
  {
    const MutexLock lock{mutex_};
    const auto found = found_.find(key);
    if (found == found_.end()) {
      return attached.has_value(); // it ended meanwhile
    }
    found->second.trying = false;
    found->second.settled = found->second.settled || attached.has_value();
    if (attached && attached->newly_attached) {
      found->second.attached = attached->vm;
    }
    if (!attached) {
      changed = note_failure(found->second, attached.error(), found->second.since, pace_.max_wait);
      const auto owner = found->second.vm.owner;
      if (changed && owner && !is_own_or_root(*owner) && !report_limit_.allows(Clock::now())) {
        changed.reset();
      }
    }
  }
  if (changed) {
    callbacks_.refusal(*changed);
  }
  return attached.has_value();
}

bool VmFinder::try_wanted(std::size_t index) {
  VmSpec spec;
  std::stop_token stop;
  {
    const MutexLock lock{mutex_};
    spec = wanted_[index].spec;
    stop = wanted_[index].stop.get_token();
  }
  const WorkLimit limit{Clock::time_point::max(), stop};
  auto attached = attacher_.attach(spec);
  const bool done = attached.has_value();
  std::optional<Refusal> changed;
  {
    const MutexLock lock{mutex_};
    Wanted& wanted = wanted_[index];
    wanted.trying = false;
    const bool once_more = std::exchange(wanted.once_more, false);
    if (attached) {
      wanted.vm = std::move(*attached);
      wanted.reported.clear();
    } else {
      changed = note_failure(wanted, attached.error(), {}, pace_.max_wait_wanted);
      if (once_more) {
        wanted.backoff.next = {};
      }
    }
  }
  if (changed) {
    callbacks_.refusal(*changed);
  }
  return done;
}

/// Returns the refusal to report, if any.
template <typename Entry> std::optional<Refusal>
VmFinder::note_failure(Entry& entry, const Error& error, Clock::time_point since, Clock::duration max_wait) {
  const auto now = Clock::now();
  const Clock::duration age = now - since;
  Backoff& backoff = entry.backoff;
  backoff.wait = age < pace_.young ? Clock::duration{}
                                   : std::clamp<Clock::duration>(backoff.wait * 2, pace_.scan * 2, max_wait);
  backoff.next = now + backoff.wait;
  entry.refusal.reason = error.message();
  const bool worth_reporting = age >= pace_.quiet || error.kind == ErrorKind::permission;
  if (!worth_reporting || entry.reported == entry.refusal.reason) {
    return std::nullopt;
  }
  entry.reported = entry.refusal.reason;
  return entry.refusal;
}

bool VmFinder::give_up(std::string_view name) {
  bool any = false;
  const auto end = [&](auto& entry) {
    any = true;
    entry.settled = true;
    entry.stop.request_stop();
  };
  const MutexLock lock{mutex_};
  for (Wanted& wanted : wanted_) {
    if (!wanted.settled && wanted.vm == nullptr && wanted.refusal.name == name) {
      end(wanted);
    }
  }
  for (auto& [key, found] : found_) {
    if (!found.settled && (found.refusal.name == name || found.refusal.number == name)) {
      end(found);
    }
  }
  return any;
}

std::vector<Refusal> VmFinder::refused() const {
  std::vector<Refusal> refusals;
  const MutexLock lock{mutex_};
  for (const Wanted& wanted : wanted_) {
    if (!wanted.settled && wanted.vm == nullptr) {
      refusals.push_back(wanted.refusal);
    }
  }
  for (const auto& [key, found] : found_) {
    if (!found.settled && (found.trying || !found.refusal.reason.empty())) {
      refusals.push_back(found.refusal);
    }
  }
  return refusals;
}

std::size_t VmFinder::pending() const {
  const MutexLock lock{mutex_};
  return static_cast<std::size_t>(std::ranges::count_if(found_, [](const auto& entry) {
    return !entry.second.settled && entry.second.refusal.reason.empty();
  }));
}

std::vector<DiscoveryError> VmFinder::discovery_errors() const {
  const MutexLock lock{mutex_};
  const auto errors = discovery_errors_ | std::views::values;
  return {errors.begin(), errors.end()};
}

std::vector<DiscoveredVm> VmFinder::discovered_vms() const {
  const MutexLock lock{mutex_};
  std::vector<std::pair<std::uint64_t, DiscoveredVm>> in_order;
  in_order.reserve(found_.size());
  for (const auto& [key, found] : found_) {
    in_order.push_back(
        {found.order, {sources_[key.first].driver, found.vm, found.settled ? "" : found.refusal.reason}});
  }
  std::ranges::sort(in_order, {}, &std::pair<std::uint64_t, DiscoveredVm>::first);
  std::vector<DiscoveredVm> discovered_vms;
  std::ranges::move(in_order | std::views::values, std::back_inserter(discovered_vms));
  return discovered_vms;
}

} // namespace vmemfs
