// SPDX-License-Identifier: MIT
// A guest whose RAM is one range of another process's memory.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/listener_slot.h"
#include "vmm/process_guest.h"

#include <memory>

namespace vmemfs {

class ToyDriver final : public Driver {
public:
  static Result<std::unique_ptr<Driver>> attach(pid_t pid, HvaRange ram, const DriverContext& context);

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return guest_.memory_map(); }
  void read(std::span<ReadPiece> pieces) override { guest_.read(pieces); }
  bool gone() const override { return guest_.gone(); }
  AccessReport access() const override { return {.map = "the parameters", .ram = guest_.describe()}; }
  void set_listener(VmListener* listener) override { listener_.set(listener); }

private:
  explicit ToyDriver(std::shared_ptr<const ProcessSpace> space);

  const VmIdentity identity_;
  ListenerSlot listener_;
  ProcessGuest guest_; ///< last: calls the listener when the VM ends
};

} // namespace vmemfs
