// SPDX-License-Identifier: MIT
// Attaching and detaching: from the description of a VM, by the user or a discovery, to a registry entry.
#pragma once

#include "driver/discovery.h"
#include "driver/vm_spec.h"
#include "vm/vm_options.h"
#include "vm/vm_registry.h"

#include <functional>
#include <memory>
#include <stop_token>
#include <string_view>

namespace vmemfs {

/// Opens what a VmSpec names; any thread.
using OpenDriver = std::function<Result<std::unique_ptr<Driver>>(const VmSpec&)>;

/// Thread-safe. Everything here may wait for a VM or its monitor, under a WorkLimit that cancel() stops.
class Attacher {
public:
  /// `vms` and `options` must outlive the attacher.
  Attacher(OpenDriver open, VmRegistry& vms, const VmOptionsTable& options)
      : open_{std::move(open)}, vms_{vms}, options_{options} {}

  /// Attaches the VM that the user describes. Without a name, its directory gets the VM's own name, or
  /// the driver's.
  [[nodiscard]] Result<std::shared_ptr<Vm>> attach(const VmSpec& spec);

  struct AttachResult {
    std::shared_ptr<Vm> vm;
    bool newly_attached; ///< false: the same VM was attached already, by any driver
  };
  /// Attaches a discovered VM. Its name is vm_base_name(), followed by its number if that name is taken.
  /// `instead_of`, if not null, is the same VM attached by another driver: it is detached once this
  /// driver has opened the VM, unless it is in use by then (busy).
  [[nodiscard]] Result<AttachResult> attach_found(std::string_view driver, const FoundVm& found,
                                                  NameClaim claim, Vm* instead_of = nullptr);

  /// The VM itself is not changed, except that a guest that vmemfs paused is resumed.
  [[nodiscard]] Result<void> detach(std::string_view name);

  /// Nothing is attached any more, and what is under way gives up soon.
  void cancel() { stop_.request_stop(); }

private:
  const OpenDriver open_;
  VmRegistry& vms_;
  const VmOptionsTable& options_;
  std::stop_source stop_;
};

} // namespace vmemfs
