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
  Worker& notifier; ///< one thread, for telling the filesystem; never waits for a driver
  Worker& jobs;     ///< for what may have to wait for a driver
  CacheBudget& cache_budget;
  PauseGuard* guard = nullptr; ///< null: nobody sees to paused VMs when this process is killed
  EventLog* events = nullptr;  ///< null: nobody wants to know
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

  /// `name` becomes the directory's name; refused if it is no file name or taken.
  [[nodiscard]] Result<std::shared_ptr<Vm>> add(std::string name, std::unique_ptr<Driver> driver,
                                                VmOptions options = {});
  void remove(VmId id);

  [[nodiscard]] std::shared_ptr<Vm> find(VmId id) const;
  [[nodiscard]] std::shared_ptr<Vm> find(std::string_view name) const;
  [[nodiscard]] std::vector<std::shared_ptr<Vm>> all() const; ///< in the order of their ids

private:
  void tell(EventKind kind, const std::string& vm, std::string detail) const;
  void on_changed(VmId id, bool gone);
  void drop_caches(VmId id);

  const RegistryServices services_;
  Callbacks callbacks_;
  mutable std::mutex mutex_;
  std::map<VmId, std::shared_ptr<Vm>> vms_;
  VmId next_id_ = 1;
};

/// Why `name` can't be a directory's name, if it can't.
[[nodiscard]] Result<void> check_vm_name(std::string_view name);

} // namespace vmemfs
