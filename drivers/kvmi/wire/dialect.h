// SPDX-License-Identifier: MIT
// The two dialects of KVMI that are spoken here, and their numbers.
//
// GET_VERSION gives version 1 for all of them, so they are distinguished by behaviour: see
// link/negotiation.h. `tree` is that of KVM-VMI's branches (v6 and v7, which libkvmi 1.1 speaks), `v12` that
// of the last posting to the kernel's mailing list (October 2021).
#pragma once

#include <cstdint>
#include <string_view>

namespace vmemfs::kvmi {

enum class Dialect : std::uint8_t { tree, v12 };

[[nodiscard]] constexpr std::string_view to_string(Dialect dialect) {
  return dialect == Dialect::tree ? "tree v7" : "v12";
}

/// Ids that are the same in both.
inline constexpr std::uint16_t kGetVersion = 2;
inline constexpr std::uint16_t kVcpuEvent = 1;

/// Ids of messages, and numbers of events.
struct Numbers {
  std::uint16_t event_reply;
  std::uint16_t vm_event; ///< kVcpuEvent: events of the VM come as those of vCPUs do
  std::uint16_t check_command;
  std::uint16_t guest_info;
  std::uint16_t control_vm_events;
  std::uint16_t read;
  std::uint16_t write;
  std::uint16_t pause;
  std::uint16_t get_registers;
  std::uint16_t set_registers;
  std::uint16_t max_gfn;        ///< 0: there is none
  std::uint16_t map_token;      ///< 0: there is none
  std::uint16_t query_physical; ///< 0: there is none

  std::uint8_t unhook_event;
  std::uint8_t pause_event;
  std::uint8_t cr_event;
  std::uint8_t msr_event;
};

inline constexpr Numbers kTreeNumbers{.event_reply = 0,
                                      .vm_event = kVcpuEvent,
                                      .check_command = 3,
                                      .guest_info = 5,
                                      .control_vm_events = 8,
                                      .read = 17,
                                      .write = 18,
                                      .pause = 7,
                                      .get_registers = 13,
                                      .set_registers = 14,
                                      .max_gfn = 29,
                                      .map_token = 22,
                                      .query_physical = 39,
                                      .unhook_event = 0,
                                      .pause_event = 10,
                                      .cr_event = 1,
                                      .msr_event = 2};

inline constexpr Numbers kV12Numbers{.event_reply = 1,
                                     .vm_event = 0,
                                     .check_command = 4,
                                     .guest_info = 8,
                                     .control_vm_events = 10,
                                     .read = 12,
                                     .write = 14,
                                     .pause = 16,
                                     .get_registers = 7,
                                     .set_registers = 9,
                                     .max_gfn = 0,
                                     .map_token = 0,
                                     .query_physical = 0,
                                     .unhook_event = 0,
                                     .pause_event = 1,
                                     .cr_event = 7,
                                     .msr_event = 15};

[[nodiscard]] constexpr const Numbers& numbers_of(Dialect dialect) {
  return dialect == Dialect::tree ? kTreeNumbers : kV12Numbers;
}

/// CREATE_VCPU of the tree; v12 has none.
inline constexpr std::uint8_t kTreeCreateVcpuEvent = 9;

} // namespace vmemfs::kvmi
