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

/// Thread-safe. VMs that ended leave by themselves, on the worker's thread.
class VmRegistry {
public:
  /// What the filesystem wants to hear; called on the worker's thread, never on one that answers reads.
  struct Callbacks {
    std::function<void(const Vm&)> changed; ///< what caches hold of its memory is old
    std::function<void(const Vm&)> removed; ///< it has left the registry
  };

  explicit VmRegistry(Worker& worker) : worker_{worker} {}

  /// Set once, before the first add().
  void set_callbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

  /// `name` becomes the directory's name; refused if it is no file name or taken.
  [[nodiscard]] Result<std::shared_ptr<Vm>> add(std::string name, std::unique_ptr<Driver> driver);
  void remove(VmId id);

  [[nodiscard]] std::shared_ptr<Vm> find(VmId id) const;
  [[nodiscard]] std::shared_ptr<Vm> find(std::string_view name) const;
  [[nodiscard]] std::vector<std::shared_ptr<Vm>> all() const; ///< in the order of their ids

private:
  void on_changed(VmId id, bool gone);

  Worker& worker_;
  Callbacks callbacks_;
  mutable std::mutex mutex_;
  std::map<VmId, std::shared_ptr<Vm>> vms_;
  VmId next_id_ = 1;
};

/// Why `name` can't be a directory's name, if it can't.
[[nodiscard]] Result<void> check_vm_name(std::string_view name);

} // namespace vmemfs
