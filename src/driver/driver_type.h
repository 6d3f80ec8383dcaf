// A kind of driver: its name, its parameters, and how to open one.
#pragma once

#include "core/text.h"
#include "driver/discovery.h"
#include "driver/driver.h"
#include "driver/host_check.h"
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

class FdWatcher;
class Worker;

/// What drivers share. Outlives every driver.
struct DriverContext {
  FdWatcher& watcher; ///< one thread that waits for all descriptors
  Worker& worker;     ///< for work that a read must not wait for
  /// Opens a VM by another driver, for one that knows of a better way than its own. Set while a driver is
  /// opened by open_driver(); any thread.
  std::function<Result<std::unique_ptr<Driver>>(const VmSpec&)> open_other{};
};

class DriverType {
public:
  virtual ~DriverType() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view summary() const = 0; ///< one line: what it reaches
  [[nodiscard]] virtual std::span<const ParamSpec> params() const = 0;
  /// A complete example of `DRIVER:PARAMS`.
  [[nodiscard]] virtual std::string_view example() const = 0;

  /// Whether it works on this host at all; the error says why not and what helps.
  [[nodiscard]] virtual Result<void> available() const { return {}; }

  /// What else of this host matters to it, and what of each VM that it finds. Asked only where it is
  /// available. May look for VMs, but opens none and connects to no monitor.
  [[nodiscard]] virtual std::vector<HostCheck> checks() const { return {}; }

  /// Finds VMs by itself; null where the user has to name them. By discovery_params(), none of which is
  /// required: without any, all VMs of this host.
  [[nodiscard]] virtual std::unique_ptr<Discovery> discovery(const Params& /*params*/) const {
    return nullptr;
  }
  [[nodiscard]] virtual std::span<const ParamSpec> discovery_params() const { return {}; }

  /// Whether these parameters, of a VM or of a discovery, lead over the network; a mount that needs none
  /// has none. No parameters: a discovery that nobody asked for.
  [[nodiscard]] virtual bool needs_network(const Params& /*params*/) const { return false; }

  [[nodiscard]] virtual Result<std::unique_ptr<Driver>> open(const Params& params,
                                                             const DriverContext& context) const = 0;

  /// Lets a VM run again that an earlier process paused, by the ticket that its driver gave out
  /// (RunControl::resume_ticket), where that is still the same VM and still stands. No error where there is
  /// nothing to do any more. Called in the guardian, a process without drivers, for several VMs at a time.
  [[nodiscard]] virtual Result<void> resume_orphan(std::string_view ticket) const {
    return fail(ErrorKind::unsupported, name(),
                fmt::format("can't resume by ticket '{}'", printable(ticket)));
  }
};

} // namespace vmemfs
