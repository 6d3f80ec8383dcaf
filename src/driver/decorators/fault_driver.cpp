// SPDX-License-Identifier: MIT
#include "driver/decorators/fault_driver.h"

namespace vmemfs {
namespace {

tl::unexpected<Error> injected(ErrorKind kind) { return fail(kind, "fault", "injected failure"); }

} // namespace

void FaultDriver::fail_nth(FaultPoint point, std::uint32_t nth, ErrorKind kind) {
  Fault& fault = faults_[static_cast<std::size_t>(point)];
  fault.kind = kind;
  fault.countdown = nth;
}

std::optional<ErrorKind> FaultDriver::strike(FaultPoint point) {
  Fault& fault = faults_[static_cast<std::size_t>(point)];
  std::uint32_t left = fault.countdown;
  while (left != 0 && !fault.countdown.compare_exchange_weak(left, left - 1)) {
  }
  return left == 1 ? std::optional{fault.kind.load()} : std::nullopt;
}

void FaultDriver::read(std::span<ReadPiece> pieces) {
  if (const auto kind = strike(FaultPoint::read)) {
    for (ReadPiece& piece : pieces) {
      piece.done = 0;
      piece.failure = *kind;
    }
    return;
  }
  inner().read(pieces);
}

WriteOutcome FaultDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  if (const auto kind = strike(FaultPoint::write)) {
    return {0, injected(*kind).value()};
  }
  return inner().memory_writer()->write(gpa, bytes);
}

Result<void> FaultDriver::refresh() {
  if (const auto kind = strike(FaultPoint::refresh)) {
    return injected(*kind);
  }
  return inner().refresh();
}

const RegisterLayout& FaultDriver::register_layout() const {
  RegisterReader* const reader = inner().register_reader();
  return reader != nullptr ? reader->register_layout() : inner().register_writer()->register_layout();
}

Result<std::vector<RegisterSet>> FaultDriver::read_registers(std::span<const VcpuId> vcpus) {
  if (const auto kind = strike(FaultPoint::read_registers)) {
    return injected(*kind);
  }
  return inner().register_reader()->read_registers(vcpus);
}

Result<void> FaultDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  if (const auto kind = strike(FaultPoint::write_registers)) {
    return injected(*kind);
  }
  return inner().register_writer()->write_registers(vcpu, values);
}

Result<RunStatus> FaultDriver::run_status() {
  if (const auto kind = strike(FaultPoint::run_status)) {
    return injected(*kind);
  }
  return inner().run_control()->run_status();
}

Result<RunStatus> FaultDriver::pause() {
  if (const auto kind = strike(FaultPoint::pause)) {
    return injected(*kind);
  }
  return inner().run_control()->pause();
}

Result<RunStatus> FaultDriver::resume() {
  if (const auto kind = strike(FaultPoint::resume)) {
    return injected(*kind);
  }
  return inner().run_control()->resume();
}

} // namespace vmemfs
