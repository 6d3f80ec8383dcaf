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

class AttachedGuest {
public:
  /// `params` are additional parameters of the driver, such as ",keep=on".
  explicit AttachedGuest(const test::GuestOptions& options, const std::string& params = "")
      : guest_{options} {
    const DriverType& type = qemu_driver_type();
    const auto parsed = Params::parse(fmt::format("pid={}{}", guest_.pid(), params), type.params());
    auto driver = type.open(parsed.value(), {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }

  [[nodiscard]] test::QemuGuest& guest() { return guest_; }
  [[nodiscard]] Driver& driver() { return *driver_; }
  [[nodiscard]] RunControl& control() { return *driver_->run_control(); }
  [[nodiscard]] WriteOutcome write(std::uint64_t gpa, std::span<const std::byte> bytes) {
    return driver_->memory_writer()->write(Gpa{gpa}, bytes);
  }

private:
  FdWatcher watcher_;
  Worker worker_;
  test::QemuGuest guest_;
  std::unique_ptr<Driver> driver_;
};

} // namespace vmemfs::qemu
