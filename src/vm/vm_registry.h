// The VMs of one mount.
#pragma once

#include "core/error.h"
#include "vm/vm.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class Worker;

/// What all VMs of a mount share. All outlive the registry.
struct RegistryServices {
  Worker& notifier;           ///< one thread, for telling the filesystem; never waits for a driver
  Worker& jobs;               ///< for what may have to wait for a driver
  Worker& prefetch_jobs;      ///< for reads that somebody is going to ask for
  Worker& slow_prefetch_jobs; ///< the same where they take long
  CacheBudget& cache_budget;
  PauseGuard* guard = nullptr; ///< null: nobody sees to paused VMs when this process is killed
  EventLog* events = nullptr;  ///< null: nobody wants to know
};

/// Whether a VM that was found may have its bare name: not if an older one has the same, be it attached or
/// not, so that who is called what does not depend on who is attached first.
enum class NameClaim : unsigned char { bare, with_number };

/// How a VM that was found is to be called. See vm_name_candidate().
struct FoundName {
  std::string_view base;
  std::string_view number;
  NameClaim claim;
};

/// Thread-safe. VMs that ended leave by themselves, on the notifier's thread.
class VmRegistry {
public:
  /// What the filesystem wants to hear; called on the notifier's thread, never on one that answers reads.
  struct Callbacks {
    std::function<void(const Vm&)> changed; ///< what caches hold of its memory is old
    std::function<void(const Vm&)> removed; ///< it has left the registry
  };

  explicit VmRegistry(RegistryServices services) : services_{services} {}

  /// Set once, before the first add().
  void set_callbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

  /// `name` becomes the directory's name; refused if it is no file name or taken by one that lives.
  [[nodiscard]] Result<std::shared_ptr<Vm>> add(std::string name, std::unique_ptr<Driver> driver,
                                                const VmOptions& options = {});
  /// For a VM that was found: takes the first free name of vm_name_candidate(). Where that very VM (see
  /// VmIdentity::key) is here already nothing is added, and it is what is returned.
  [[nodiscard]] std::shared_ptr<Vm> add_found(const FoundName& wish, std::unique_ptr<Driver> driver,
                                              const VmOptionsTable& options);
  void remove(VmId id);

  [[nodiscard]] std::shared_ptr<Vm> find(VmId id) const;
  [[nodiscard]] std::shared_ptr<Vm> find(std::string_view name) const;
  /// One that lives, by VmIdentity::key; null also where `key` is empty.
  [[nodiscard]] std::shared_ptr<Vm> find_key(std::string_view key) const;
  [[nodiscard]] std::vector<std::shared_ptr<Vm>> all() const; ///< in the order of their ids

private:
  // With mutex_ held:
  [[nodiscard]] bool is_taken(std::string_view name) const;
  [[nodiscard]] std::shared_ptr<Vm> with_key(std::string_view key) const;
  std::shared_ptr<Vm> insert(std::string name, std::unique_ptr<Driver> driver, const VmOptions& options);

  void report(EventKind kind, const std::string& vm, std::string detail) const;
  void on_changed(VmId id, bool gone);
  void drop_caches(VmId id);

  const RegistryServices services_;
  Callbacks callbacks_;
  mutable std::mutex mutex_;
  std::map<VmId, std::shared_ptr<Vm>> vms_;
  VmId next_id_ = 1;
};

} // namespace vmemfs
