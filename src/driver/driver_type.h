// A kind of driver: its name, its parameters, and how to open one.
#pragma once

#include "driver/driver.h"
#include "driver/params.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs {

class FdWatcher;
class Worker;

/// What drivers share. Outlives every driver.
struct DriverContext {
  FdWatcher& watcher; ///< one thread that waits for all descriptors
  Worker& worker;     ///< one thread for work that a read must not wait for
};

class DriverType {
public:
  virtual ~DriverType() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view summary() const = 0; ///< one line: what it reaches
  [[nodiscard]] virtual std::span<const ParamSpec> params() const = 0;
  /// A complete example of `DRIVER:PARAMS`.
  [[nodiscard]] virtual std::string_view example() const = 0;

  [[nodiscard]] virtual Result<std::unique_ptr<Driver>> open(const Params& params,
                                                             const DriverContext& context) const = 0;
};

} // namespace vmemfs
