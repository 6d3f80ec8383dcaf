// SPDX-License-Identifier: MIT
// Base of the decorators: a driver that forwards every call to another one.
#pragma once

#include "driver/driver.h"

#include <memory>
#include <utility>

namespace vmemfs {

class ForwardingDriver : public Driver {
public:
  explicit ForwardingDriver(std::unique_ptr<Driver> inner) : inner_{std::move(inner)} {}

  const VmIdentity& identity() const override { return inner_->identity(); }
  VcpuSet vcpus() const override { return inner_->vcpus(); }
  std::shared_ptr<const MemoryMap> memory_map() const override { return inner_->memory_map(); }
  void read(std::span<ReadPiece> pieces) override { inner_->read(pieces); }
  Result<void> detach() override { return inner_->detach(); }
  Result<void> refresh() override { return inner_->refresh(); }
  void poll_layout(bool missed) override { inner_->poll_layout(missed); }
  void poll_run_state() override { inner_->poll_run_state(); }
  std::optional<std::chrono::milliseconds> state_delay() const override { return inner_->state_delay(); }
  bool frozen() const override { return inner_->frozen(); }
  UseSearch find(GpaRange range, MemoryUse wanted) override { return inner_->find(range, wanted); }
  std::optional<std::uint64_t> held_bytes() const override { return inner_->held_bytes(); }
  ReadCost read_cost() const override { return inner_->read_cost(); }
  bool gone() const override { return inner_->gone(); }
  AccessReport access() const override { return inner_->access(); }
  std::vector<ProbeResult> probe() const override { return inner_->probe(); }
  void set_listener(VmListener* listener) override { inner_->set_listener(listener); }
  BlockMemory* block_memory() override { return inner_->block_memory(); }
  DirectMemory* direct_memory() override { return inner_->direct_memory(); }
  MemoryWriter* memory_writer() override { return inner_->memory_writer(); }
  RegisterReader* register_reader() override { return inner_->register_reader(); }
  RegisterWriter* register_writer() override { return inner_->register_writer(); }
  RunControl* run_control() override { return inner_->run_control(); }

protected:
  [[nodiscard]] Driver& inner() const { return *inner_; }

private:
  std::unique_ptr<Driver> inner_;
};

} // namespace vmemfs
