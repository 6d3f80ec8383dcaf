// SPDX-License-Identifier: MIT
// The VMs of one mount.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "util/published.h"
#include "vm/vm.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class Worker;

/// Services that all VMs of a mount share. All outlive the registry.
struct RegistryServices {
  Worker& notifier;           ///< notifies the filesystem; never waits for a driver
  Worker& jobs;               ///< jobs that may wait for a driver
  Worker& prefetch_jobs;      ///< reads that are likely to be requested
  Worker& slow_prefetch_jobs; ///< the same, for slow drivers
  CacheBudget& cache_budget;
  PauseGuard* guard = nullptr; ///< null: no process resumes paused VMs when this process is killed
  EventLog* events = nullptr;  ///< null: events are not recorded
};

/// Whether a discovered VM may have its name without a suffix: not if an older VM, attached or not, has the
/// same name, so that names do not depend on the order of attaching.
enum class NameClaim : unsigned char { bare, with_number };

/// Requested name of a discovered VM. See vm_name_candidate().
struct FoundName {
  std::string_view base;
  std::string_view number;
  NameClaim claim;
};

/// Thread-safe. Ended VMs are removed automatically, on a thread of the notifier.
class VmRegistry {
public:
  /// Notifications for the filesystem; called on threads of the notifier, never on one that answers reads.
  /// Those of one VM are called one at a time: if one of them hangs, those of other VMs are still called.
  struct Callbacks {
    /// Cached pages of its memory are stale. False: they cannot be dropped now; it is called again soon.
    std::function<bool(const Vm&)> changed;
    /// Its cached pages are of a guest that runs, and grow old. False as for `changed`, which is more urgent.
    std::function<bool(const Vm&)> kept{};
    std::function<void(const Vm&)> removed; ///< it has left the registry
  };

  explicit VmRegistry(RegistryServices services)
      : services_{services}, state_polls_{std::make_shared<StatePolls>(services.jobs)} {}

  /// Set once. What happened before is not notified.
  void set_callbacks(Callbacks callbacks) {
    callbacks_.store(std::make_shared<const Callbacks>(std::move(callbacks)));
  }

  /// `name` becomes the directory's name; refused if it is not a file name or belongs to a live VM.
  [[nodiscard]] Result<std::shared_ptr<Vm>> add(std::string name, std::unique_ptr<Driver> driver,
                                                const VmOptions& options = {});
  struct Added {
    std::shared_ptr<Vm> vm;
    bool is_new; ///< false: the same VM was registered already, by any driver
  };
  /// Adds a discovered VM under the first free name of vm_name_candidate(). If the same VM (see
  /// VmIdentity::key) is registered already, nothing is added and that one is returned.
  [[nodiscard]] Added add_found(const FoundName& requested, std::unique_ptr<Driver> driver,
                                const VmOptionsTable& options);
  void remove(VmId id) EXCLUDES(mutex_);

  [[nodiscard]] std::shared_ptr<Vm> find(VmId id) const EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<Vm> find(std::string_view name) const;
  /// A live VM, by VmIdentity::key; null also if `key` is empty.
  [[nodiscard]] std::shared_ptr<Vm> find_key(std::string_view key) const;
  [[nodiscard]] std::vector<std::shared_ptr<Vm>> all() const; ///< in the order of their ids

private:
  /// Several have one name or key if all but the last have ended and are not removed yet.
  using Index = std::multimap<std::string, VmId, std::less<>>;

  /// The live VM, else one that has ended; null: there is none.
  [[nodiscard]] std::shared_ptr<Vm> find_in(const Index& index, std::string_view wanted) const
      REQUIRES(mutex_);
  [[nodiscard]] bool is_taken(std::string_view name) const REQUIRES(mutex_);
  [[nodiscard]] std::shared_ptr<Vm> with_key(std::string_view key) const REQUIRES(mutex_);
  std::shared_ptr<Vm> insert(std::string name, std::unique_ptr<Driver> driver, const VmOptions& options)
      REQUIRES(mutex_);

  void report(EventKind kind, const std::string& vm, std::string detail) const;
  struct Notifications;

  void on_changed(const std::shared_ptr<Notifications>& of, bool gone);
  void drop_caches(const std::shared_ptr<Notifications>& of);
  [[nodiscard]] bool try_notify_changed(VmId id);
  void notify_changed(const std::shared_ptr<Notifications>& of);
  void notify_kept(const std::shared_ptr<Notifications>& of);

  const RegistryServices services_;
  /// A VM may outlive the registry: a thread may hang in one of its requests.
  const std::shared_ptr<KernelBudget> kernel_budget_ = std::make_shared<KernelBudget>();
  const std::shared_ptr<StatePolls> state_polls_; ///< VMs hold it too
  Published<Callbacks> callbacks_;
  mutable Mutex mutex_;
  std::map<VmId, std::shared_ptr<Vm>> vms_ GUARDED_BY(mutex_);
  Index by_name_ GUARDED_BY(mutex_);
  Index by_key_ GUARDED_BY(mutex_); ///< of those that have one
  VmId next_id_ GUARDED_BY(mutex_) = 1;
};

} // namespace vmemfs
