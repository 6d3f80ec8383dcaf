// SPDX-License-Identifier: MIT
// A driver type: its name, its parameters, and its factory.
#pragma once

#include "core/text.h"
#include "driver/discovery.h"
#include "driver/driver.h"
#include "driver/driver_runtime.h"
#include "driver/host_check.h"
#include "driver/needs.h"
#include "driver/params.h"
#include "driver/vm_spec.h"

#include <fmt/format.h>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class DriverRuntimes;
class FdWatcher;
class Worker;

/// Services that drivers share. Outlives every driver.
struct DriverContext {
  FdWatcher& watcher; ///< one thread that waits for all descriptors
  Worker& worker;     ///< for work that a read must not wait for
  /// Those of the mount; null outside of a mount, such as in a test.
  const DriverRuntimes* runtimes = nullptr;
  /// Whether other users than root and the one who mounted may read the VMs: see ProcessReaders.
  bool for_others = true;
  /// The one of the driver that is opened, set by open_driver(); see DriverType::make_runtime().
  std::shared_ptr<DriverRuntime> runtime{};
  /// Opens a VM with another driver, for a driver that knows of a better one. Set while a driver is
  /// opened by open_driver(); any thread.
  std::function<Result<std::unique_ptr<Driver>>(const VmSpec&)> open_other{};
};

class DriverType {
public:
  virtual ~DriverType() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view summary() const = 0; ///< one line: the kind of source
  [[nodiscard]] virtual std::span<const ParamSpec> params() const = 0;
  /// A complete example of `DRIVER:PARAMS`.
  [[nodiscard]] virtual std::string_view example() const = 0;

  /// Whether it works on this host; the error has the reason and the remedy.
  [[nodiscard]] virtual Result<void> available() const { return {}; }

  /// Further checks of this host, and of each discovered VM. Called only if it is available. May discover
  /// VMs, but opens none and connects to no monitor. `runtime`: see make_runtime().
  [[nodiscard]] virtual std::vector<HostCheck>
  checks(const std::shared_ptr<DriverRuntime>& /*runtime*/) const {
    return {};
  }

  /// Discovery of VMs; null if the user must name them. With discovery_params(): without any, all VMs of this
  /// host, or null if one of them is required. `runtime`: see make_runtime().
  [[nodiscard]] virtual std::unique_ptr<Discovery>
  discovery(const Params& /*params*/, const std::shared_ptr<DriverRuntime>& /*runtime*/) const {
    return nullptr;
  }
  [[nodiscard]] virtual std::span<const ParamSpec> discovery_params() const { return {}; }

  /// Privileges that a VM or a discovery with these parameters needs. Without parameters: the default
  /// discovery, and any VM that may be attached later. The daemon gives up everything else.
  [[nodiscard]] virtual Needs needs(const Params& /*params*/) const { return {}; }

  /// State shared by all VMs of this type in a mount; null if there is none. Called once per process that
  /// opens drivers or resumes VMs, before any thread exists, and in the daemon before privileges are given
  /// up: the place to load and to open what takes more rights than needs(). Creates no threads. A failure is
  /// kept, and reported when a driver is opened.
  ///
  /// A function that takes a runtime may get null, outside of a mount: it then makes its own.
  [[nodiscard]] virtual std::shared_ptr<DriverRuntime> make_runtime() const { return nullptr; }

  [[nodiscard]] virtual Result<std::unique_ptr<Driver>> open(const Params& params,
                                                             const DriverContext& context) const = 0;

  /// Resumes a VM that an earlier process paused, by the ticket from its driver
  /// (RunControl::resume_ticket), if it is still the same VM and still paused. No error if there is
  /// nothing to do. Called in the guardian, a process without drivers, for several VMs at a time.
  [[nodiscard]] virtual Result<void> resume_orphan(std::string_view ticket,
                                                   const std::shared_ptr<DriverRuntime>& /*runtime*/) const {
    return fail(ErrorKind::unsupported, name(),
                fmt::format("cannot resume by ticket '{}'", printable(ticket)));
  }
};

using DriverList = std::span<const DriverType* const>;

} // namespace vmemfs
