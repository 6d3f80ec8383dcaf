// SPDX-License-Identifier: MIT
#include "drivers/vbox/guest/registers.h"

#include "driver/kit/changed_registers.h"
#include "drivers/vbox/guest/register_ids.h"

#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <utility>

namespace vmemfs::vbox {
namespace {

using Clock = FdpLink::Clock;

constexpr std::string_view kOrigin = "vbox";

/// nullopt: VirtualBox does not have it.
Result<std::optional<std::uint64_t>> read_one(FdpLink& link, VcpuId vcpu, const RegisterId& id,
                                              Clock::time_point deadline) {
  const auto value =
      link.number(id.is_msr ? read_msr_request(vcpu, id.number)
                            : read_register_request(vcpu, static_cast<std::uint16_t>(id.number)),
                  deadline);
  if (!value && value.error().kind != ErrorKind::unsupported) {
    return tl::unexpected{value.error()};
  }
  const bool known = value && *value != kUnknownRegister && *value <= id.max;
  return known ? std::optional{*value} : std::nullopt;
}

Result<void> write_one(FdpLink& link, VcpuId vcpu, const RegisterId& id, std::uint64_t value,
                       Clock::time_point deadline) {
  const auto request = id.is_msr ? write_msr_request(vcpu, id.number, value)
                                 : write_register_request(vcpu, static_cast<std::uint16_t>(id.number), value);
  if (auto done = link.command(request, fmt::format("set {}", x86_64::to_string(id.reg)), deadline); !done) {
    return done;
  }
  if (!id.keeps_value) {
    return {};
  }
  const auto now = read_one(link, vcpu, id, deadline);
  if (!now) {
    return tl::unexpected{now.error()};
  }
  return *now == value
             ? Result<void>{}
             : fail(ErrorKind::source_failed, kOrigin,
                    fmt::format("VirtualBox did not set {}, though it said so", x86_64::to_string(id.reg)));
}

} // namespace

Result<RegisterSet> read_vcpu_registers(FdpLink& link, VcpuId vcpu, Clock::time_point deadline) {
  RegisterSet registers{x86_64::register_layout()};
  for (const RegisterId& id : register_ids()) {
    const auto value = read_one(link, vcpu, id, deadline);
    if (!value) {
      return tl::unexpected{value.error()};
    }
    if (*value) {
      registers.set(id.reg, **value);
    }
  }
  return registers.empty() ? fail(ErrorKind::source_failed, kOrigin,
                                  fmt::format("VirtualBox gave no registers of vCPU {}", vcpu.value()))
                           : Result<RegisterSet>{registers};
}

Result<void> write_vcpu_registers(FdpLink& link, VcpuId vcpu, std::span<const RegisterValue> values,
                                  Clock::time_point deadline) {
  const auto now = read_vcpu_registers(link, vcpu, deadline);
  if (!now) {
    return tl::unexpected{now.error()};
  }
  const auto changed = changed_registers(*now, values);
  for (const RegisterValue& value : changed) {
    const RegisterId* const id = find_register(value.reg);
    if (id == nullptr || !id->writable) {
      return fail(
          ErrorKind::unsupported, kOrigin,
          fmt::format("FDP cannot set {}: general registers, rip, rflags, control and debug registers, "
                      "the bases of fs and gs, and efer can be set",
                      x86_64::register_layout().name(value.reg)));
    }
  }
  for (const RegisterValue& value : changed) {
    if (auto done = write_one(link, vcpu, *find_register(value.reg), value.value, deadline); !done) {
      return done;
    }
  }
  return {};
}

} // namespace vmemfs::vbox
