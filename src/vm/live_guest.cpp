// SPDX-License-Identifier: MIT
#include "vm/live_guest.h"

#include <fmt/format.h>

namespace vmemfs {

const RegisterLayout* LiveGuest::register_layout() const {
  if (RegisterReader* const reader = context_.driver.register_reader()) {
    return &reader->register_layout();
  }
  RegisterWriter* const writer = context_.driver.register_writer();
  return writer != nullptr ? &writer->register_layout() : nullptr;
}

std::optional<RegisterSet> LiveGuest::usual_registers() const {
  const RegisterReader* const reader = context_.driver.register_reader();
  if (reader == nullptr) {
    return std::nullopt;
  }
  RegisterSet usual{reader->register_layout()};
  for (std::size_t i = 0; i < reader->register_layout().size(); ++i) {
    if (reader->usually_has(RegisterIndex{i})) {
      usual.set(RegisterIndex{i}, 0);
    }
  }
  return usual;
}

Result<std::vector<RegisterSet>> LiveGuest::read_registers(std::span<const VcpuId> vcpus) {
  return counters_.register_reads.counted(try_read_registers(vcpus));
}

Result<std::vector<RegisterSet>> LiveGuest::try_read_registers(std::span<const VcpuId> vcpus) {
  Driver& driver = context_.driver;
  RegisterReader* const reader = driver.register_reader();
  if (context_.attachment.gone()) {
    return gone_error();
  }
  if (reader == nullptr) {
    return context_.events.noted<std::vector<RegisterSet>>(
        fail(ErrorKind::unsupported, driver.identity().driver,
             fmt::format("cannot read registers: {}", driver.access().registers)));
  }
  return context_.events.noted(reader->read_registers(vcpus));
}

Result<void> LiveGuest::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  return counters_.register_writes.counted(context_.writes.write_registers(vcpu, values));
}

} // namespace vmemfs
