// SPDX-License-Identifier: MIT
// Decorator that gives a VM what a test wants to see in its texts: names, states, missing abilities.
#pragma once

#include "driver/decorators/forwarding_driver.h"
#include "vm_fixture.h"

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace vmemfs::test {

/// All that a peer may choose: a newline, a terminal's control characters, quotes, invalid UTF-8.
inline const std::string kHostileName{"web\n\x1b[2J\"01\"\\\t\xff\xc3("};

struct DriverChanges {
  std::optional<VmIdentity> identity{};
  std::optional<Result<RunStatus>> run_status{};
  std::vector<ProbeResult> probe{};
  bool no_run_control = false;
  bool no_writers = false;
  bool no_registers = false;
  bool no_state_delay = false;
  bool frozen = false;
};

class ChangedDriver : public ForwardingDriver, RunControl {
public:
  ChangedDriver(std::unique_ptr<Driver> inner, DriverChanges changes)
      : ForwardingDriver{std::move(inner)}, changes_{std::move(changes)} {}

  const VmIdentity& identity() const override {
    return changes_.identity ? *changes_.identity : ForwardingDriver::identity();
  }
  std::vector<ProbeResult> probe() const override { return changes_.probe; }
  bool frozen() const override { return changes_.frozen; }
  std::optional<std::chrono::milliseconds> state_delay() const override {
    return changes_.no_state_delay ? std::nullopt : ForwardingDriver::state_delay();
  }
  MemoryWriter* memory_writer() override {
    return changes_.no_writers ? nullptr : ForwardingDriver::memory_writer();
  }
  RegisterReader* register_reader() override {
    return changes_.no_registers ? nullptr : ForwardingDriver::register_reader();
  }
  RegisterWriter* register_writer() override {
    return changes_.no_writers || changes_.no_registers ? nullptr : ForwardingDriver::register_writer();
  }
  RunControl* run_control() override { return changes_.no_run_control ? nullptr : this; }

private:
  using Commanded = decltype(std::declval<RunControl&>().pause()); // whatever a command gives

  Result<RunStatus> run_status() override {
    auto status = inner().run_control()->run_status(); // also for the fixture, which waits for it
    return changes_.run_status ? *changes_.run_status : status;
  }
  Commanded pause() override { return inner().run_control()->pause(); }
  Commanded resume() override { return inner().run_control()->resume(); }

  const DriverChanges changes_;
};

/// For VmFixture.
inline VmFixture::Wrap changed(DriverChanges changes) {
  return [changes = std::move(changes)](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
    if (changes.no_run_control) {
      static_cast<void>(inner->refresh()); // the fixture waits for a first call
    }
    return std::make_unique<ChangedDriver>(std::move(inner), changes);
  };
}

} // namespace vmemfs::test
