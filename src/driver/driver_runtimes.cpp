// SPDX-License-Identifier: MIT
#include "driver/driver_runtimes.h"

namespace vmemfs {

DriverRuntimes::DriverRuntimes(DriverList types) {
  for (const DriverType* const type : types) {
    if (type->available()) {
      by_type_.emplace(type, type->make_runtime());
    }
  }
}

std::shared_ptr<DriverRuntime> DriverRuntimes::of(const DriverType& type) const {
  const auto found = by_type_.find(&type);
  return found == by_type_.end() ? nullptr : found->second;
}

std::shared_ptr<DriverRuntime> runtime_of(const DriverType& type, const DriverRuntimes* runtimes) {
  return runtimes == nullptr ? nullptr : runtimes->of(type);
}

} // namespace vmemfs
