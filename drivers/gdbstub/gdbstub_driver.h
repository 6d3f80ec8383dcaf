// SPDX-License-Identifier: MIT
// Driver instance for one target of a server of GDB's remote protocol.
//
// Map: the user's, or the server's. Bytes, registers and run state: see session/gdb_session.h.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "drivers/gdbstub/session/gdb_session.h"
#include "util/fd_watcher.h"
#include "util/published.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::gdbstub {

class GdbstubDriver final : public Driver, RegisterReader {
public:
  /// `maps`: the memory map by the user, see driver/kit/user_map.h; empty: the server's.
  static Result<std::unique_ptr<GdbstubDriver>> attach(const SessionOptions& options, const std::string& maps,
                                                       const DriverContext& context);

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_; }
  void read(std::span<ReadPiece> pieces) override;
  bool gone() const override { return session_->gone(); }
  Result<void> refresh() override;
  Result<void> detach() override { return session_->detach(); }
  ReadCost read_cost() const override { return cost_; }
  /// A server does not report that somebody else has resumed its target. A stop is noticed within a second.
  std::optional<std::chrono::milliseconds> state_delay() const override {
    return alone_ ? std::optional{std::chrono::milliseconds{1000}} : std::nullopt;
  }
  VcpuSet vcpus() const override;
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override;
  RegisterReader* register_reader() override { return plan_ ? this : nullptr; }
  RunControl* run_control() override { return session_.get(); }

private:
  using Threads = std::vector<ServerThread>;

  GdbstubDriver(const SessionOptions& options, std::unique_ptr<GdbSession> session, MemoryMap map,
                bool map_by_user);

  const RegisterLayout& register_layout() const override { return *plan_->layout; }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  bool usually_has(RegisterIndex reg) const override;
  Result<void> measure();

  const std::unique_ptr<GdbSession> session_;
  const VmIdentity identity_;
  const std::shared_ptr<const MemoryMap> map_;
  const bool map_by_user_;
  const bool alone_; ///< SessionOptions
  const Result<RegisterPlan> plan_;
  ReadCost cost_;              ///< set only while attaching
  Published<Threads> threads_; ///< never null
  FdWatcher::Watch watch_{};   ///< last: its callback uses the session
};

} // namespace vmemfs::gdbstub
