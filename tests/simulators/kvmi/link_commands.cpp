// SPDX-License-Identifier: MIT
// The commands of a tool, as the kernel answers them.
#include "simulators/kvmi/bytes.h"
#include "simulators/kvmi/link.h"

#include <algorithm>

namespace kvmi_simulator {
namespace {

constexpr std::chrono::milliseconds kReverseStep{2};

} // namespace

void Simulator::Link::handle_known(const Command& command) {
  const std::uint16_t id = command.header.id;
  if (options_.dialect == Dialect::rfc9 && id == 2) { // CHECK_COMMAND there, of no known command
    return reply(command, -kNoEntry);
  }
  if (std::ranges::find(options_.denied, id) != options_.denied.end()) {
    return reply(command, -kPerm);
  }
  if (id == ids().get_version) {
    return handle_version(command);
  }
  if (id == ids().check_command) {
    return handle_check(command);
  }
  if (id == ids().guest_info) {
    Bytes data;
    append(data, guest_.vcpus());
    data.resize(16);
    return reply(command, 0, data);
  }
  if (id == ids().control_vm_events) {
    return handle_control(command);
  }
  if (id == ids().get_max_gfn) {
    Bytes data;
    append(data, guest_.end() / 4096);
    return reply(command, 0, data);
  }
  if (id == ids().read) {
    return handle_read(command);
  }
  if (id == ids().query_physical && options_.has_query) {
    return handle_query(command);
  }
  if (id == ids().get_map_token) {
    return handle_map_token(command);
  }
  if (id == ids().write) {
    return handle_write(command);
  }
  if (id == ids().pause) {
    return handle_pause(command);
  }
  if (id == ids().get_registers) {
    return handle_get_registers(command);
  }
  if (id == ids().set_registers) {
    return handle_set_registers(command);
  }
  if (options_.dialect == Dialect::v12 && id == 20) { // SET_PAGE_ACCESS with nothing in it
    return violate("SET_PAGE_ACCESS without its structure");
  }
  reply(command, -kNoCommand);
}

void Simulator::Link::handle_version(const Command& command) {
  Bytes data;
  append(data, std::uint32_t{1});
  append(data, options_.dialect == Dialect::v12 ? kMaxSize : std::uint32_t{0});
  data.resize(16);
  reply(command, 0, data);
}

/// Of ids: the tree knows up to 39 or so, the RFCs v7 and v8 up to 17.
void Simulator::Link::handle_check(const Command& command) {
  const auto id = at<std::uint16_t>(command.payload, 0);
  if (at<std::uint16_t>(command.payload, 2) != 0 || at<std::uint32_t>(command.payload, 4) != 0) {
    return reply(command, -kInvalid);
  }
  if (std::ranges::find(options_.denied, id) != options_.denied.end()) {
    return reply(command, -kPerm);
  }
  switch (options_.dialect) {
  case Dialect::rfc8: return reply(command, id <= 17 ? 0 : -kNoEntry);
  case Dialect::tree:
    return reply(command, id <= 39 && (id != ids().query_physical || options_.has_query) ? 0 : -kInvalid);
  default: return reply(command, id <= 21 ? 0 : -kNoEntry);
  }
}

void Simulator::Link::handle_control(const Command& command) {
  const auto event = at<std::uint16_t>(command.payload, 0);
  const auto enable = at<std::uint8_t>(command.payload, 2);
  if (event != ids().unhook || enable > 1) {
    return reply(command, -kInvalid);
  }
  reply(command, options_.refuse_unhook ? -kPerm : 0);
}

bool Simulator::Link::address_of(const Command& command, std::uint64_t& gpa, std::uint64_t& size) {
  gpa = at<std::uint64_t>(command.payload, 0);
  if (options_.dialect == Dialect::v12) {
    size = at<std::uint16_t>(command.payload, 8);
    if (at<std::uint32_t>(command.payload, 10) != 0 || at<std::uint16_t>(command.payload, 14) != 0) {
      violate("padding of a memory command is not zero");
      return false;
    }
  } else {
    size = at<std::uint64_t>(command.payload, 8);
  }
  if (size == 0 || size > 4096 || gpa % 4096 + size > 4096) {
    hooks_.violation("a memory command that is not within one page");
    reply(command, -kInvalid);
    return false;
  }
  return true;
}

void Simulator::Link::handle_read(const Command& command) {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  if (!address_of(command, gpa, size)) {
    return;
  }
  hooks_.read();
  reads_ = true;
  Bytes data(size);
  const bool present = guest_.read(gpa, size, data.data());
  reply(command, present ? 0 : -kNoEntry, present ? data : Bytes{});
}

/// The memory slot of a frame: its first frame and its size in pages.
void Simulator::Link::handle_query(const Command& command) {
  if (command.payload.size() < 8) {
    return violate("QUERY_PHYSICAL without a frame");
  }
  hooks_.query();
  const auto slot = guest_.slot(at<std::uint64_t>(command.payload, 0) * 4096);
  Bytes data;
  if (slot) {
    append(data, slot->gpa / 4096);
    append(data, slot->size / 4096);
  }
  reply(command, slot ? 0 : -options_.hole_error, data);
}

void Simulator::Link::handle_map_token(const Command& command) {
  Bytes data;
  append(data, options_.device != nullptr ? options_.device->new_token() : Token{});
  reply(command, 0, data);
}

void Simulator::Link::handle_write(const Command& command) {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  if (!address_of(command, gpa, size)) {
    return;
  }
  if (command.payload.size() < 16 + size) {
    return violate("WRITE_PHYSICAL with too little data");
  }
  reply(command, guest_.write(gpa, size, command.payload.data() + 16) ? 0 : -kNoEntry);
}

void Simulator::Link::handle_pause(const Command& command) {
  const auto vcpu = at<std::uint16_t>(command.payload, 0);
  const std::size_t wait_at = options_.dialect == Dialect::v12 ? 2 : 8;
  const std::size_t size = options_.dialect == Dialect::v12 ? 8 : 16;
  for (std::size_t i = 2; i < size; ++i) {
    if (i != wait_at && at<std::uint8_t>(command.payload, i) != 0) {
      return violate("padding of PAUSE is not zero");
    }
  }
  if (vcpu >= guest_.vcpus() || at<std::uint8_t>(command.payload, wait_at) > 1) {
    return reply(command, -kInvalid);
  }
  if (command.fault &&
      (command.fault->kind == FaultKind::error || command.fault->kind == FaultKind::no_event)) {
    return reply(command, 0); // which the fault changes; there is no event
  }
  if (!options_.events_first) {
    reply(command, 0);
  }
  pause_now(vcpu, options_.event_delay);
  if (options_.events_first) {
    reply(command, 0);
  }
}

/// The second event of a vCPU comes when the first one was answered.
void Simulator::Link::pause_now(std::uint16_t vcpu, Clock::duration delay) {
  std::uint32_t seq = 0;
  {
    const std::lock_guard lock{mutex_};
    VcpuState& state = vcpus_.at(vcpu);
    if (state.waits) {
      ++state.pauses;
      return;
    }
    seq = ++next_event_;
    state.waits = seq;
  }
  send_event(ids().pause_event, vcpu, seq, delay);
}

void Simulator::Link::handle_get_registers(const Command& command) {
  const auto vcpu = at<std::uint16_t>(command.payload, 0);
  const auto count = at<std::uint16_t>(command.payload, 8);
  if (vcpu >= guest_.vcpus() || count > 100 || command.payload.size() < 16U + 4U * count) {
    return reply(command, -kInvalid);
  }
  Bytes data;
  append(data, std::uint32_t{8});
  append(data, std::uint32_t{0});
  append(data, guest_.registers(vcpu));
  append(data, guest_.sregs(vcpu));
  append(data, std::uint32_t{count});
  append(data, std::uint32_t{0});
  for (unsigned i = 0; i < count; ++i) {
    const auto index = at<std::uint32_t>(command.payload, 16 + 4 * std::size_t{i});
    std::uint64_t value = 0;
    if (!Guest::msr(vcpu, index, value)) {
      return reply(command, -kInvalid);
    }
    append(data, index);
    append(data, std::uint32_t{0});
    append(data, value);
  }
  reply(command, 0, data,
        options_.reverse_vcpu_replies ? kReverseStep * (guest_.vcpus() - vcpu) : Clock::duration{});
}

void Simulator::Link::handle_set_registers(const Command& command) {
  const auto vcpu = at<std::uint16_t>(command.payload, 0);
  if (command.payload.size() < 152 || vcpu >= guest_.vcpus()) {
    return reply(command, -kInvalid);
  }
  bool waits = false;
  {
    const std::lock_guard lock{mutex_};
    waits = vcpus_.at(vcpu).waits.has_value();
    if (waits) {
      vcpus_.at(vcpu).delayed = at<Guest::Registers>(command.payload, 8);
    }
  }
  reply(command, waits ? 0 : -kNotSupported);
}

void Simulator::Link::handle_event_reply(const Command& command) {
  const auto answer = at<EventReply>(command.payload, 0);
  if (command.payload.size() != sizeof(EventReply) || answer.padding1 != 0 || answer.padding2 != 0 ||
      answer.vcpu.padding1 != 0 || answer.vcpu.padding2 != 0 || answer.vcpu.vcpu >= vcpus_.size()) {
    return violate("a damaged reply to an event");
  }
  if (answer.action == 2) {
    return violate("a reply that crashes the guest");
  }
  if (command.header.seq >= kFloodBegin) {
    return;
  }
  bool expected = false;
  bool again = false;
  {
    const std::lock_guard lock{mutex_};
    VcpuState& state = vcpus_.at(answer.vcpu.vcpu);
    expected = state.waits == command.header.seq;
    if (expected) {
      state.waits.reset();
      if (state.delayed) {
        guest_.set_registers(answer.vcpu.vcpu, *state.delayed);
        state.delayed.reset();
      }
      again = state.pauses > 0;
      state.pauses -= again ? 1 : 0;
    }
  }
  if (!expected) {
    hooks_.unexpected_reply();
    broken_ = true;
  }
  if (again) {
    pause_now(answer.vcpu.vcpu, {});
  }
}

} // namespace kvmi_simulator
