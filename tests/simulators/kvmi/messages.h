// SPDX-License-Identifier: MIT
// Structures of KVMI as the protocol's description has them, for the simulator alone: nothing here comes from
// the driver, so that a mistake in one of them shows.
#pragma once

#include <cstdint>

namespace kvmi_simulator {

struct [[gnu::packed]] Greeting {
  std::uint32_t struct_size;
  std::uint8_t uuid[16];
  std::uint32_t padding;
  std::int64_t start_time;
  char name[64];
  std::uint64_t max_gpa; ///< v12 only
};
static_assert(sizeof(Greeting) == 104);
inline constexpr std::uint32_t kTreeGreetingSize = 96;

struct [[gnu::packed]] Answer {
  std::uint32_t struct_size;
  std::uint8_t cookie_hash[20];
};
static_assert(sizeof(Answer) == 24);

struct [[gnu::packed]] Header {
  std::uint16_t id;
  std::uint16_t size;
  std::uint32_t seq;
};
inline constexpr std::uint32_t kMaxSize = 8184;

struct [[gnu::packed]] Status {
  std::int32_t err;
  std::uint32_t padding;
};

struct [[gnu::packed]] VcpuHeader {
  std::uint16_t vcpu;
  std::uint16_t padding1;
  std::uint32_t padding2;
};

/// The first 16 bytes of a vCPU's event, and the rest of its common part.
inline constexpr std::uint16_t kCommonSize = 544;

struct [[gnu::packed]] EventReply {
  VcpuHeader vcpu;
  std::uint8_t action;
  std::uint8_t event;
  std::uint16_t padding1;
  std::uint32_t padding2;
};
static_assert(sizeof(EventReply) == 16);

/// kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8-r15 rip rflags.
inline constexpr unsigned kRegisters = 18;
inline constexpr unsigned kRbx = 1;
inline constexpr unsigned kRip = 16;
inline constexpr std::uint32_t kSregsSize = 312;

/// Message ids and event numbers: the page's columns A and D.
struct Ids {
  std::uint16_t event_reply, event, vm_event;
  std::uint16_t get_version, check_command, guest_info, control_vm_events, read, write, pause, get_registers,
      set_registers, get_max_gfn, query_physical, get_map_token;
  std::uint8_t unhook, pause_event, hypercall;
};
inline constexpr Ids kTree{0, 1, 1, 2, 3, 5, 8, 17, 18, 7, 13, 14, 29, 39, 22, 0, 10, 5};
/// 0xffff: there is none.
inline constexpr Ids kV12{1, 1, 0, 2, 4, 8, 10, 12, 14, 16, 7, 9, 0xffff, 0xffff, 0xffff, 0, 1, 3};

// Errors of replies, negative.
inline constexpr int kPerm = 1;
inline constexpr int kNoEntry = 2;
inline constexpr int kInvalid = 22;
inline constexpr int kNotSupported = 95;
inline constexpr int kNoCommand = 1000;

} // namespace kvmi_simulator
