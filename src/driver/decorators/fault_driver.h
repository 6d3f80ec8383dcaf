// SPDX-License-Identifier: MIT
// Decorator that makes a chosen call fail. For tests of the layers above a driver.
#pragma once

#include "driver/decorators/forwarding_driver.h"

#include <array>
#include <atomic>
#include <cstdint>

namespace vmemfs {

enum class FaultPoint : unsigned char {
  read,
  write,
  refresh,
  read_registers,
  write_registers,
  run_status,
  pause,
  resume
};
inline constexpr std::size_t kFaultPointCount = 8;

class FaultDriver : public ForwardingDriver, MemoryWriter, RegisterReader, RegisterWriter, RunControl {
public:
  explicit FaultDriver(std::unique_ptr<Driver> inner) : ForwardingDriver{std::move(inner)} {}

  /// Makes the n-th call from now (1 = the next) at `point` fail with `kind`; 0 cancels it.
  void fail_nth(FaultPoint point, std::uint32_t nth, ErrorKind kind = ErrorKind::source_failed);

  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  BlockMemory* block_memory() override { return nullptr; }   // the same
  DirectMemory* direct_memory() override { return nullptr; } // so that every read can fail
  MemoryWriter* memory_writer() override { return inner().memory_writer() != nullptr ? this : nullptr; }
  RegisterReader* register_reader() override { return inner().register_reader() != nullptr ? this : nullptr; }
  RegisterWriter* register_writer() override { return inner().register_writer() != nullptr ? this : nullptr; }
  RunControl* run_control() override { return inner().run_control() != nullptr ? this : nullptr; }

private:
  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  bool can_keep() const override { return inner().run_control()->can_keep(); }
  std::string resume_ticket() const override { return inner().run_control()->resume_ticket(); }

  struct Fault {
    std::atomic<std::uint32_t> countdown{0};
    std::atomic<ErrorKind> kind{ErrorKind::source_failed};
  };
  /// The failure to inject into this call, if any.
  std::optional<ErrorKind> strike(FaultPoint point);

  std::array<Fault, kFaultPointCount> faults_;
};

} // namespace vmemfs
