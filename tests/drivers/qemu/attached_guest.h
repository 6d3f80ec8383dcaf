// SPDX-License-Identifier: MIT
// Real guest with a driver instance attached to it.
#pragma once

#include "drivers/qemu/qemu_type.h"
#include "support/qemu_guest.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <fmt/format.h>
#include <memory>
#include <stdexcept>
#include <string>

namespace vmemfs::qemu {

/// A driver instance for a QEMU that runs.
class AttachedDriver {
public:
  /// `params` are additional parameters of the driver, such as ",keep=on". Without a timeout among them it is
  /// one that a busy host does not reach.
  explicit AttachedDriver(pid_t qemu, const std::string& params = "") {
    const DriverType& type = qemu_driver_type();
    const char* const timeout = params.find("timeout=") == std::string::npos ? ",timeout=20s" : "";
    const auto parsed = Params::parse(fmt::format("pid={}{}{}", qemu, params, timeout), type.params());
    auto driver = type.open(parsed.value(), {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }

  [[nodiscard]] Driver& driver() { return *driver_; }

private:
  FdWatcher watcher_;
  Worker worker_;
  std::unique_ptr<Driver> driver_;
};

class AttachedGuest {
public:
  /// `params` as those of AttachedDriver.
  explicit AttachedGuest(const test::GuestOptions& options, const std::string& params = "")
      : guest_{options}, attached_{guest_.pid(), params} {}

  [[nodiscard]] test::QemuGuest& guest() { return guest_; }
  [[nodiscard]] Driver& driver() { return attached_.driver(); }
  [[nodiscard]] RunControl& control() { return *driver().run_control(); }
  [[nodiscard]] WriteOutcome write(std::uint64_t gpa, std::span<const std::byte> bytes) {
    return driver().memory_writer()->write(Gpa{gpa}, bytes);
  }

private:
  test::QemuGuest guest_;
  AttachedDriver attached_;
};

} // namespace vmemfs::qemu
