// From a description of a VM, by the user or by a discovery, to an entry in the registry.
#pragma once

#include "driver/discovery.h"
#include "driver/vm_spec.h"
#include "vm/vm_options.h"
#include "vm/vm_registry.h"

#include <functional>
#include <memory>
#include <string_view>

namespace vmemfs {

/// Opens what a VmSpec names; any thread.
using OpenDriver = std::function<Result<std::unique_ptr<Driver>>(const VmSpec&)>;

/// Thread-safe. Everything here may wait for a VM or its monitor.
class Attacher {
public:
  /// `vms` and `options` must outlive the attacher.
  Attacher(OpenDriver open, VmRegistry& vms, const VmOptionsTable& options)
      : open_{std::move(open)}, vms_{vms}, options_{options} {}

  /// As the user says it. Without a name the directory has the VM's own name, or the driver's.
  [[nodiscard]] Result<std::shared_ptr<Vm>> attach(const VmSpec& spec);

  struct AttachResult {
    std::shared_ptr<Vm> vm;
    bool newly_attached; ///< false: that very VM was attached already, by whichever driver
  };
  /// One that was found. Named as vm_base_name() says; where that is taken its number stands behind it.
  /// `instead_of`, if not null, is the same VM, attached by another driver: it is detached once this one can
  /// have it, unless it is in use by then (busy).
  [[nodiscard]] Result<AttachResult> attach_found(std::string_view driver, const FoundVm& found,
                                                  NameClaim claim, Vm* instead_of = nullptr);

  /// The VM stays as it is, but a guest that we paused runs again.
  [[nodiscard]] Result<void> detach(std::string_view name);

private:
  const OpenDriver open_;
  VmRegistry& vms_;
  const VmOptionsTable& options_;
};

} // namespace vmemfs
