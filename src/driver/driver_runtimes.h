// SPDX-License-Identifier: MIT
// The runtimes of one mount: one for each driver type that has one.
#pragma once

#include "driver/driver_runtime.h"
#include "driver/driver_type.h"

#include <map>
#include <memory>

namespace vmemfs {

/// Immutable, thus thread-safe. Outlives the drivers and discoveries of the mount.
class DriverRuntimes {
public:
  /// Makes those of all types that work on this host. Call it before privileges are given up and before any
  /// thread is created.
  explicit DriverRuntimes(DriverList types);

  /// Null: the type has none.
  [[nodiscard]] std::shared_ptr<DriverRuntime> of(const DriverType& type) const;

private:
  std::map<const DriverType*, std::shared_ptr<DriverRuntime>> by_type_;
};

/// The same if there may be no mount: null for `runtimes` gives null.
[[nodiscard]] std::shared_ptr<DriverRuntime> runtime_of(const DriverType& type,
                                                        const DriverRuntimes* runtimes);

} // namespace vmemfs
