// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/kvm_registers.h"

#include "drivers/libvirt/connection/handles.h"
#include "drivers/libvirt/domain/monitor_registers.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace vmemfs::libvirt {

const RegisterLayout& KvmRegisters::register_layout() const {
  return kvm_->register_reader()->register_layout();
}

bool KvmRegisters::usually_has(RegisterIndex reg) const { return kvm_->register_reader()->usually_has(reg); }

Result<std::vector<RegisterSet>> KvmRegisters::read_registers(std::span<const VcpuId> vcpus) {
  return kvm_numbers(vcpus, vcpus_(), kvm_->vcpus())
      .and_then([this](const std::vector<VcpuId>& numbers) {
        return kvm_->register_reader()->read_registers(numbers);
      })
      .map_error([](Error error) {
        if (error.kind == ErrorKind::busy) {
          error.text += fmt::format("; {}", kHowToConsent);
        }
        return error;
      });
}

std::string KvmRegisters::describe() const {
  return fmt::format("{}; not while the domain is paused: {}", kvm_->access().registers, kHowToConsent);
}

Result<std::vector<VcpuId>> kvm_numbers(std::span<const VcpuId> wanted, const VcpuSet& domain,
                                        const VcpuSet& kvm) {
  if (domain.size() != kvm.size()) {
    return fail(
        ErrorKind::busy, kOrigin,
        fmt::format("libvirt has {} vCPUs of the domain, and KVM {}; try again", domain.size(), kvm.size()));
  }
  std::vector<VcpuId> numbers;
  for (const VcpuId vcpu : wanted) {
    const auto found = std::lower_bound(domain.begin(), domain.end(), vcpu);
    if (found == domain.end() || *found != vcpu) {
      return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no vCPU {}", vcpu.value()));
    }
    numbers.push_back(*std::next(kvm.begin(), std::distance(domain.begin(), found)));
  }
  return numbers;
}

} // namespace vmemfs::libvirt
