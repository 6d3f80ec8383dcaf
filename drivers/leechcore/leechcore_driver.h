// SPDX-License-Identifier: MIT
// A machine whose memory a device of LeechCore reaches, such as a PCILeech FPGA.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/listener_slot.h"
#include "drivers/leechcore/memory/device_map.h"
#include "drivers/leechcore/memory/scatter_memory.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::leechcore {

struct LeechcoreOptions {
  std::string library; ///< leechcore.so or its directory; empty: the dynamic linker finds it
  std::string device = "FPGA";
  std::string options; ///< of the device, what follows its `://`
  std::string remote;
  std::string map_file; ///< empty: the device's own map
  std::chrono::milliseconds timeout{10000};
};

/// LeechCore runs in a process of its own. If that is lost, the VM has ended.
class LeechcoreDriver final : public Driver, private MemoryWriter {
public:
  /// `program`: of the worker.
  static Result<std::unique_ptr<Driver>> attach(const LeechcoreOptions& options, const std::string& program,
                                                const DriverContext& context);

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_; }
  void read(std::span<ReadPiece> pieces) override;
  bool gone() const override { return memory_.lost(); }
  bool frozen() const override { return !device_.is_volatile; }
  ReadCost read_cost() const override { return cost_; }
  AccessReport access() const override;
  void set_listener(VmListener* listener) override { listener_->set(listener); }
  MemoryWriter* memory_writer() override { return device_.is_writable ? this : nullptr; }

private:
  LeechcoreDriver(VmIdentity identity, std::shared_ptr<ListenerSlot> listener,
                  std::unique_ptr<WorkerClient> client, const Reply& device, MemoryMap map, bool users_map);

  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  void measure();

  const VmIdentity identity_;
  const std::shared_ptr<ListenerSlot> listener_;
  const Reply device_;
  const std::shared_ptr<const MemoryMap> map_;
  const bool users_map_;
  ReadCost cost_;
  ScatterMemory memory_; ///< last: its end uses the listener
};

} // namespace vmemfs::leechcore
