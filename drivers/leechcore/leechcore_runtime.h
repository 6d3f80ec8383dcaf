// SPDX-License-Identifier: MIT
// State that all VMs of the driver `leechcore` share: where the program of their worker processes is.
#pragma once

#include "core/error.h"
#include "driver/driver_runtime.h"

#include <memory>
#include <string>

namespace vmemfs::leechcore {

/// Immutable, thus thread-safe.
class LeechcoreRuntime final : public DriverRuntime {
public:
  /// Searches the program beside that of this process and in ../libexec/vmemfs; a failure is kept.
  LeechcoreRuntime();
  /// For tests, whose programs lie elsewhere.
  explicit LeechcoreRuntime(std::string program) : program_{std::move(program)} {}

  /// not_found: it is not installed.
  [[nodiscard]] const Result<std::string>& program() const { return program_; }

private:
  Result<std::string> program_;
};

/// The mount's; a new one outside of a mount.
[[nodiscard]] std::shared_ptr<const LeechcoreRuntime>
leechcore_runtime(const std::shared_ptr<DriverRuntime>& runtime);

} // namespace vmemfs::leechcore
