// SPDX-License-Identifier: MIT
#include "vm/vm_registry.h"

#include "util/lane.h"
#include "util/worker.h"
#include "vm/vm_name.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <future>
#include <thread>

namespace vmemfs {
namespace {

/// After which pages are dropped again that could not be dropped, as one of them is still to come.
constexpr std::chrono::milliseconds kTryAgainAfter{20};

template <typename Index> void erase_from(Index& index, const std::string& key, VmId id) {
  const auto [begin, end] = index.equal_range(key);
  const auto entry = std::find_if(begin, end, [id](const auto& each) { return each.second == id; });
  if (entry != end) {
    index.erase(entry);
  }
}

} // namespace

/// The notifications of one VM. Its jobs hold it, so that it does not depend on the VM.
struct VmRegistry::Notifications {
  Notifications(Worker& notifier, VmId vm) : lane{notifier}, id{vm} {}

  const Lane lane;
  const VmId id;
  std::atomic<bool> is_tried_again{false};
  std::atomic<bool> is_kept_tried_again{false};
};

Result<std::shared_ptr<Vm>> VmRegistry::add(std::string name, std::unique_ptr<Driver> driver,
                                            const VmOptions& options) {
  if (auto checked = check_vm_name(name); !checked) {
    return tl::unexpected{checked.error()};
  }
  const MutexLock lock{mutex_};
  if (is_taken(name)) {
    return name_is_taken(name);
  }
  return insert(std::move(name), std::move(driver), options);
}

VmRegistry::Added VmRegistry::add_found(const FoundName& requested, std::unique_ptr<Driver> driver,
                                        const VmOptionsTable& options) {
  const MutexLock lock{mutex_};
  const VmIdentity& identity = driver->identity();
  if (auto same = with_key(identity.key)) {
    return {std::move(same), false};
  }
  std::string name;
  unsigned attempt = requested.claim == NameClaim::bare ? 0 : 1;
  do {
    name = vm_name_candidate(requested.base, requested.number, attempt++);
  } while (is_taken(name));
  const VmOptions& vm_options = options.of(name);
  return {insert(std::move(name), std::move(driver), vm_options), true};
}

std::shared_ptr<Vm> VmRegistry::find_in(const Index& index, std::string_view wanted) const {
  std::shared_ptr<Vm> found;
  const auto [begin, end] = index.equal_range(wanted);
  for (auto entry = begin; entry != end && (found == nullptr || found->gone()); ++entry) {
    found = vms_.find(entry->second)->second;
  }
  return found;
}

bool VmRegistry::is_taken(std::string_view name) const {
  const auto vm = find_in(by_name_, name);
  return vm != nullptr && !vm->gone();
}

std::shared_ptr<Vm> VmRegistry::with_key(std::string_view key) const {
  auto vm = find_in(by_key_, key);
  return vm != nullptr && !vm->gone() ? vm : nullptr;
}

std::shared_ptr<Vm> VmRegistry::insert(std::string name, std::unique_ptr<Driver> driver,
                                       const VmOptions& options) {
  const VmId id = next_id_++;
  // First of its events, and before it is listed: a client that gets the event and looks up the VM waits
  // for this.
  report(EventKind::added, name, driver->identity().driver);
  const auto notifications = std::make_shared<Notifications>(services_.notifier, id);
  auto vm = Vm::create(
      id, std::move(name), std::move(driver),
      VmServices{.jobs = services_.jobs,
                 .prefetch_jobs = services_.prefetch_jobs,
                 .slow_prefetch_jobs = services_.slow_prefetch_jobs,
                 .cache_budget = services_.cache_budget,
                 .guard = services_.guard,
                 .changed = [this, notifications](VmId, bool gone) { on_changed(notifications, gone); },
                 .drop_outer_caches = [this, notifications](VmId) { drop_caches(notifications); },
                 .drop_kept_pages =
                     [this, notifications](VmId) {
                       notifications->lane.post([this, notifications] { notify_kept(notifications); });
                     },
                 .events = services_.events,
                 .kernel_budget = kernel_budget_,
                 .state_polls = state_polls_},
      options);
  vms_.emplace(id, vm);
  by_name_.emplace(vm->name(), id);
  if (const std::string& key = vm->guest().identity().key; !key.empty()) {
    by_key_.emplace(key, id);
  }
  if (vm->gone()) { // it ended before the listener was registered
    on_changed(notifications, true);
  }
  return vm;
}

void VmRegistry::on_changed(const std::shared_ptr<Notifications>& of, bool gone) {
  of->lane.post([this, of, gone] {
    if (gone) {
      remove(of->id);
    } else {
      notify_changed(of);
    }
  });
}

bool VmRegistry::try_notify_changed(VmId id) {
  const auto vm = find(id);
  const auto callbacks = callbacks_.load();
  return vm == nullptr || callbacks == nullptr || !callbacks->changed || callbacks->changed(*vm);
}

/// Once for all changes that have to be notified again.
void VmRegistry::notify_changed(const std::shared_ptr<Notifications>& of) {
  if (try_notify_changed(of->id) || of->is_tried_again.exchange(true)) {
    return;
  }
  of->lane.post_after(kTryAgainAfter, [this, of] {
    of->is_tried_again = false;
    notify_changed(of);
  });
}

void VmRegistry::notify_kept(const std::shared_ptr<Notifications>& of) {
  const auto vm = find(of->id);
  const auto callbacks = callbacks_.load();
  if (vm == nullptr || callbacks == nullptr || !callbacks->kept || callbacks->kept(*vm) ||
      of->is_kept_tried_again.exchange(true)) {
    return;
  }
  of->lane.post_after(kTryAgainAfter, [this, of] {
    of->is_kept_tried_again = false;
    notify_kept(of);
  });
}

/// Has the filesystem notify the kernel, and waits for that: a page in the kernel's cache must not outlive
/// the pause under which it was read. The wait has a timeout, as the kernel may itself wait for a read that
/// is stuck in a driver; such a page is dropped when it has come.
void VmRegistry::drop_caches(const std::shared_ptr<Notifications>& of) {
  constexpr std::chrono::seconds kMaxWait{1};
  const auto deadline = std::chrono::steady_clock::now() + kMaxWait;
  bool dropped = false;
  while (!dropped && std::chrono::steady_clock::now() < deadline) {
    auto tried = std::make_shared<std::promise<bool>>();
    auto future = tried->get_future();
    of->lane.post([this, of, tried] { tried->set_value(try_notify_changed(of->id)); });
    // If the job is dropped, because the notifier has stopped, this is ready too.
    if (future.wait_until(deadline) != std::future_status::ready) {
      break;
    }
    try {
      dropped = future.get();
    } catch (const std::future_error&) {
      return;
    }
    if (!dropped) {
      std::this_thread::sleep_for(kTryAgainAfter);
    }
  }
  if (!dropped) {
    on_changed(of, false);
  }
}

void VmRegistry::remove(VmId id) {
  std::shared_ptr<Vm> vm;
  {
    const MutexLock lock{mutex_};
    const auto found = vms_.find(id);
    if (found == vms_.end()) {
      return;
    }
    vm = std::move(found->second);
    vms_.erase(found);
    erase_from(by_name_, vm->name(), id);
    erase_from(by_key_, vm->guest().identity().key, id);
  }
  if (const auto callbacks = callbacks_.load(); callbacks != nullptr && callbacks->removed) {
    callbacks->removed(*vm);
  }
  report(EventKind::removed, vm->name(), vm->detached() ? "detached" : "the VM has ended");
}

void VmRegistry::report(EventKind kind, const std::string& vm, std::string detail) const {
  if (services_.events != nullptr) {
    services_.events->append(kind, vm, std::move(detail));
  }
}

std::shared_ptr<Vm> VmRegistry::find(VmId id) const {
  const MutexLock lock{mutex_};
  const auto found = vms_.find(id);
  return found == vms_.end() ? nullptr : found->second;
}

std::shared_ptr<Vm> VmRegistry::find(std::string_view name) const {
  const MutexLock lock{mutex_};
  return find_in(by_name_, name);
}

std::shared_ptr<Vm> VmRegistry::find_key(std::string_view key) const {
  const MutexLock lock{mutex_};
  return with_key(key);
}

std::vector<std::shared_ptr<Vm>> VmRegistry::all() const {
  const MutexLock lock{mutex_};
  std::vector<std::shared_ptr<Vm>> vms;
  std::ranges::transform(vms_, std::back_inserter(vms), [](const auto& entry) { return entry.second; });
  return vms;
}

} // namespace vmemfs
