// SPDX-License-Identifier: MIT
// Attachment of a VM to the mount: it ends with the VM, or when the VM is detached.
#pragma once

#include "core/error.h"
#include "driver/driver.h"

#include <atomic>

namespace vmemfs {

/// Thread-safe, without locks.
class Attachment {
public:
  /// The driver outlives this object.
  explicit Attachment(const Driver& driver) : driver_{driver} {}
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment() = default;

  /// The VM has ended or was detached; stays true. Every operation then fails with vm_gone.
  [[nodiscard]] bool gone() const { return detached() || driver_.gone(); }
  [[nodiscard]] bool detached() const { return detached_.load(std::memory_order_relaxed); }
  void detach() { detached_ = true; }

private:
  const Driver& driver_;
  std::atomic<bool> detached_{false};
};

/// The failure of an operation on a VM that is gone.
[[nodiscard]] inline tl::unexpected<Error> gone_error() {
  return fail(ErrorKind::vm_gone, "vm", "the VM has ended");
}

} // namespace vmemfs
