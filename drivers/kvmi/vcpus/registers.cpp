// SPDX-License-Identifier: MIT
#include "drivers/kvmi/vcpus/registers.h"

#include "arch/x86_64/kvm_registers.h"
#include "arch/x86_64/registers.h"
#include "driver/kit/changed_registers.h"
#include "drivers/kvmi/wire/bytes.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>

namespace vmemfs::kvmi {
namespace {

using x86_64::Register;

constexpr std::string_view kOrigin = "kvmi";

struct MsrRegister {
  std::uint32_t index; ///< Intel SDM, volume 4
  Register reg;
};
constexpr std::array kMsrs{MsrRegister{0xc0000081, Register::star},
                           MsrRegister{0xc0000082, Register::lstar},
                           MsrRegister{0xc0000083, Register::cstar},
                           MsrRegister{0xc0000084, Register::sfmask},
                           MsrRegister{0xc0000102, Register::kernel_gs_base},
                           MsrRegister{0x174, Register::sysenter_cs},
                           MsrRegister{0x175, Register::sysenter_esp},
                           MsrRegister{0x176, Register::sysenter_eip},
                           MsrRegister{0x277, Register::pat}};

// GET_REGISTERS: the request, and the data of the reply.
constexpr std::size_t kRequestSize = 16 + 4 * kMsrs.size();
constexpr std::size_t kMsrCountAt = 8;
constexpr std::size_t kMsrListAt = 16;
constexpr std::size_t kGeneralAt = 8;
constexpr std::size_t kSystemAt = 152;
constexpr std::size_t kReplyCountAt = 464;
constexpr std::size_t kReplyMsrsAt = 472;
constexpr std::size_t kMsrSize = 16;
constexpr std::size_t kReplySize = kReplyMsrsAt + kMsrSize * kMsrs.size();
static_assert(sizeof(kvm_regs) == kSystemAt - kGeneralAt && sizeof(kvm_sregs) == kReplyCountAt - kSystemAt);

constexpr std::size_t kVcpuHeaderSize = 8;

std::array<std::byte, kRequestSize> request_head(VcpuId vcpu) {
  std::array<std::byte, kRequestSize> head{};
  store_le<std::uint16_t>(head, 0, static_cast<std::uint16_t>(vcpu.value()));
  store_le<std::uint16_t>(head, kMsrCountAt, kMsrs.size());
  for (std::size_t i = 0; i < kMsrs.size(); ++i) {
    store_le<std::uint32_t>(head, kMsrListAt + 4 * i, kMsrs[i].index);
  }
  return head;
}

RegisterSet to_set(const VcpuState& state) {
  RegisterSet set = x86_64::from_kvm(state.general, state.system);
  for (const VcpuState::Msr& msr : state.msrs) {
    const auto* const known = std::ranges::find(kMsrs, msr.index, &MsrRegister::index);
    if (known != kMsrs.end()) {
      set.set(known->reg, msr.value);
    }
  }
  return set;
}

tl::unexpected<Error> no_such_vcpu(VcpuId vcpu, std::uint32_t count) {
  return fail(ErrorKind::not_found, kOrigin,
              fmt::format("there is no vCPU {}; the VM has {}", vcpu.value(), count));
}

} // namespace

bool is_readable(RegisterIndex reg) {
  return x86_64::is_of_kvm(reg) ||
         std::ranges::any_of(kMsrs, [&](const MsrRegister& msr) { return RegisterIndex{msr.reg} == reg; });
}

Result<VcpuState> parse_registers_reply(std::span<const std::byte> data, std::size_t max_msrs) {
  const auto damaged = [&] {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("the VM gave registers in {} bytes, which is not their size", data.size()));
  };
  if (data.size() < kReplyMsrsAt) {
    return damaged();
  }
  const std::size_t count = load_le<std::uint32_t>(data, kReplyCountAt);
  if (count > max_msrs || data.size() < kReplyMsrsAt + kMsrSize * count) {
    return damaged();
  }
  VcpuState state{};
  std::memcpy(&state.general, data.data() + kGeneralAt, sizeof(state.general));
  std::memcpy(&state.system, data.data() + kSystemAt, sizeof(state.system));
  for (std::size_t i = 0; i < count; ++i) {
    const auto entry = data.subspan(kReplyMsrsAt + kMsrSize * i, kMsrSize);
    state.msrs.push_back({load_le<std::uint32_t>(entry, 0), load_le<std::uint64_t>(entry, 8)});
  }
  return state;
}

/// A kernel that refuses one of the MSRs refuses the whole request: it is asked again without.
Result<std::vector<VcpuState>> Registers::ask(std::span<const VcpuId> vcpus) {
  const std::uint32_t count = session_.vcpus();
  std::vector<std::array<std::byte, kRequestSize>> heads;
  std::vector<std::array<std::byte, kReplySize>> replies(vcpus.size());
  for (const VcpuId vcpu : vcpus) {
    if (vcpu.value() >= count) {
      return no_such_vcpu(vcpu, count);
    }
    heads.push_back(request_head(vcpu));
  }
  for (const std::size_t msrs : {kMsrs.size(), std::size_t{0}}) {
    std::vector<Request> requests(vcpus.size());
    for (std::size_t i = 0; i < vcpus.size(); ++i) {
      store_le<std::uint16_t>(heads[i], kMsrCountAt, static_cast<std::uint16_t>(msrs));
      requests[i].id = session_.numbers().get_registers;
      requests[i].head = std::span{heads[i]}.first(kMsrListAt + 4 * msrs);
      requests[i].into = replies[i];
    }
    if (const auto done = session_.connection().exchange(requests); !done) {
      return tl::unexpected{done.error()};
    }
    if (msrs > 0 && std::ranges::any_of(requests, [](const Request& one) { return one.status == -EINVAL; })) {
      continue;
    }
    std::vector<VcpuState> states;
    for (std::size_t i = 0; i < vcpus.size(); ++i) {
      if (requests[i].status == -EINVAL) {
        return no_such_vcpu(vcpus[i], count);
      }
      if (requests[i].status != 0) {
        return tl::unexpected{
            refused(fmt::format("read the registers of vCPU {}", vcpus[i].value()), requests[i].status)};
      }
      const auto size = std::min(requests[i].size, replies[i].size());
      auto state = parse_registers_reply(std::span{replies[i]}.first(size), msrs);
      if (!state) {
        return tl::unexpected{std::move(state.error())};
      }
      states.push_back(std::move(*state));
    }
    return states;
  }
  return no_such_vcpu(vcpus.front(), count); // not reached
}

Result<std::vector<RegisterSet>> Registers::read(std::span<const VcpuId> vcpus) {
  std::vector<RegisterSet> sets;
  if (vcpus.empty()) {
    return sets;
  }
  auto states = ask(vcpus);
  if (!states) {
    return tl::unexpected{std::move(states.error())};
  }
  const MutexLock lock{mutex_};
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    if (const auto set = set_.find(vcpus[i]); set != set_.end()) {
      (*states)[i].general = set->second;
    }
    sets.push_back(to_set((*states)[i]));
  }
  return sets;
}

Result<void> Registers::write(VcpuId vcpu, std::span<const RegisterValue> values) {
  auto states = ask({&vcpu, 1});
  if (!states) {
    return tl::unexpected{std::move(states.error())};
  }
  VcpuState& state = states->front();
  const MutexLock lock{mutex_};
  if (const auto set = set_.find(vcpu); set != set_.end()) {
    state.general = set->second;
  }
  const auto changed = changed_registers(to_set(state), values);
  if (changed.empty()) {
    return {};
  }
  kvm_regs wanted = state.general;
  for (const RegisterValue& value : changed) {
    if (!x86_64::set_general(wanted, value.reg, value.value)) {
      return fail(ErrorKind::unsupported, kOrigin,
                  fmt::format("cannot set {}: KVMI sets the general registers, rip and rflags only",
                              x86_64::register_layout().name(value.reg)));
    }
  }
  std::array<std::byte, kVcpuHeaderSize + sizeof(kvm_regs)> head{};
  store_le<std::uint16_t>(head, 0, static_cast<std::uint16_t>(vcpu.value()));
  std::memcpy(head.data() + kVcpuHeaderSize, &wanted, sizeof(wanted));
  Request request{.id = session_.numbers().set_registers, .head = head};
  if (auto done = session_.connection().exchange({&request, 1}); !done) {
    return done;
  }
  if (request.status == -EOPNOTSUPP) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("cannot set registers of vCPU {}: it is not paused; try again", vcpu.value()));
  }
  if (request.status != 0) {
    return tl::unexpected{refused(fmt::format("set registers of vCPU {}", vcpu.value()), request.status)};
  }
  set_[vcpu] = wanted;
  return {};
}

void Registers::resumed() {
  const MutexLock lock{mutex_};
  set_.clear();
}

} // namespace vmemfs::kvmi
