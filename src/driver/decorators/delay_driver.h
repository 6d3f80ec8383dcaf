// SPDX-License-Identifier: MIT
// Decorator that delays every batch read, as a distant host does. For tests and benchmarks.
#pragma once

#include "driver/decorators/forwarding_driver.h"

#include <chrono>
#include <thread>

namespace vmemfs {

class DelayDriver : public ForwardingDriver {
public:
  DelayDriver(std::unique_ptr<Driver> inner, std::chrono::microseconds delay)
      : ForwardingDriver{std::move(inner)}, delay_{delay} {}

  void read(std::span<ReadPiece> pieces) override {
    std::this_thread::sleep_for(delay_);
    ForwardingDriver::read(pieces);
  }
  ReadCost read_cost() const override {
    ReadCost cost = ForwardingDriver::read_cost();
    cost.call += delay_;
    return cost;
  }
  /// Delayed memory is not local, so it cannot be borrowed.
  DirectMemory* direct_memory() override { return nullptr; }

private:
  std::chrono::microseconds delay_;
};

} // namespace vmemfs
