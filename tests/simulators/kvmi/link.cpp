// SPDX-License-Identifier: MIT
#include "simulators/kvmi/link.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace kvmi_simulator {
namespace {

template <typename T> void append(std::vector<std::uint8_t>& to, const T& value) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof value);
}

template <typename T> T at(std::span<const std::uint8_t> payload, std::size_t offset) {
  T value{}; // what is missing counts as zeros
  if (offset < payload.size()) {
    std::memcpy(&value, payload.data() + offset, std::min(sizeof value, payload.size() - offset));
  }
  return value;
}

constexpr std::chrono::milliseconds kReverseStep{2};

} // namespace

Simulator::Link::Link(int socket, Guest& guest, const Options& options, LinkHooks hooks)
    : socket_{socket}, guest_{guest}, options_{options}, hooks_{std::move(hooks)}, vcpus_(1024) {
  sender_ = std::thread{[this] { send_loop(); }};
}

Simulator::Link::~Link() {
  shut();
  sender_.join();
  ::close(socket_);
}

void Simulator::Link::shut() {
  const std::lock_guard lock{mutex_};
  ended_ = true;
  ::shutdown(socket_, SHUT_RDWR);
  changed_.notify_all();
}

unsigned Simulator::Link::waiting_vcpus() const {
  const std::lock_guard lock{mutex_};
  return static_cast<unsigned>(
      std::ranges::count_if(vcpus_, [](const VcpuState& vcpu) { return vcpu.waits.has_value(); }));
}

void Simulator::Link::send_loop() {
  std::unique_lock lock{mutex_};
  while (!ended_) {
    if (queue_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto due = queue_.begin()->first;
    if (Clock::now() < due) {
      changed_.wait_until(lock, due);
      continue;
    }
    const Queued next = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    sending_ = true;
    lock.unlock();
    std::size_t sent = 0;
    while (sent < next.bytes.size()) {
      const ssize_t size = ::send(socket_, next.bytes.data() + sent, next.bytes.size() - sent, MSG_NOSIGNAL);
      if (size < 0 && errno == EINTR) {
        continue;
      }
      if (size <= 0) {
        break;
      }
      sent += static_cast<std::size_t>(size);
    }
    lock.lock();
    sending_ = false;
    if (next.is_last) {
      ended_ = true;
      ::shutdown(socket_, SHUT_RDWR);
    }
  }
}

void Simulator::Link::queue(Bytes bytes, Clock::duration delay, bool is_last) {
  const std::lock_guard lock{mutex_};
  queue_.emplace(Clock::now() + delay, Queued{std::move(bytes), is_last});
  changed_.notify_all();
}

void Simulator::Link::serve() {
  Bytes bytes;
  std::vector<std::uint8_t> chunk(1U << 18U);
  for (;;) {
    const ssize_t received = ::recv(socket_, chunk.data(), chunk.size(), 0);
    if (received < 0 && errno == EINTR) {
      continue;
    }
    if (received <= 0) {
      return;
    }
    bool is_new = false;
    {
      const std::lock_guard lock{mutex_};
      is_new = queue_.empty() && !sending_;
    }
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + received);
    std::size_t used = 0;
    unsigned commands = 0;
    reads_ = false;
    while (!broken_ && take(bytes, used)) {
      ++commands;
    }
    hooks_.received(is_new && reads_, commands);
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(used));
    if (broken_) {
      shut();
      return;
    }
  }
}

bool Simulator::Link::take(const Bytes& bytes, std::size_t& used) {
  const auto rest = std::span{bytes}.subspan(used);
  if (rest.size() < sizeof(Header)) {
    return false;
  }
  Command command{at<Header>(rest, 0), {}};
  if (command.header.size > kMaxSize) {
    violate("a message of more than 8184 bytes");
    return false;
  }
  if (rest.size() < sizeof(Header) + command.header.size) {
    return false;
  }
  command.payload = rest.subspan(sizeof(Header), command.header.size);
  used += sizeof(Header) + command.header.size;
  handle(command);
  return true;
}

void Simulator::Link::violate(const std::string& what) {
  hooks_.violation(what);
  broken_ = true;
}

void Simulator::Link::handle(Command& command) {
  const std::uint16_t id = command.header.id;
  if (id == ids().event_reply) {
    handle_event_reply(command);
    return;
  }
  command.fault = hooks_.fault(id);
  if (command.fault && command.fault->kind == FaultKind::close) {
    broken_ = true;
    return;
  }
  if (command.fault) {
    event_fault(*command.fault);
  }
  handle_known(command);
}

void Simulator::Link::handle_known(const Command& command) {
  const std::uint16_t id = command.header.id;
  if (options_.dialect == Dialect::rfc9 && id == 2) { // CHECK_COMMAND there, of no known command
    return reply(command, -kNoEntry);
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
  switch (options_.dialect) {
  case Dialect::rfc8: return reply(command, id <= 17 ? 0 : -kNoEntry);
  case Dialect::tree: return reply(command, id <= 39 ? 0 : -kInvalid);
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

void Simulator::Link::send_event(std::uint8_t event, std::uint16_t vcpu, std::uint32_t seq,
                                 Clock::duration delay, std::size_t cut) {
  Bytes payload;
  if (options_.dialect == Dialect::v12) {
    append(payload, std::uint16_t{event});
    payload.resize(8);
    append(payload, kCommonSize);
    append(payload, vcpu);
    append(payload, std::uint32_t{0});
  } else {
    append(payload, kCommonSize);
    append(payload, vcpu);
    append(payload, event);
    payload.resize(8);
  }
  append(payload, std::uint64_t{8}); // mode
  append(payload, guest_.registers(vcpu));
  append(payload, guest_.sregs(vcpu));
  payload.resize(std::min<std::size_t>(cut, options_.dialect == Dialect::v12 ? 552 : 544));
  Bytes message;
  append(message, Header{ids().event, static_cast<std::uint16_t>(payload.size()), seq});
  message.insert(message.end(), payload.begin(), payload.end());
  queue(std::move(message), options_.latency + delay);
}

void Simulator::Link::send_unhook() {
  Bytes payload(options_.dialect == Dialect::v12 ? 8 : kCommonSize);
  if (options_.dialect != Dialect::v12) {
    std::memcpy(payload.data(), &kCommonSize, sizeof kCommonSize);
  }
  Bytes message;
  append(message, Header{ids().vm_event, static_cast<std::uint16_t>(payload.size()), 0});
  message.insert(message.end(), payload.begin(), payload.end());
  queue(std::move(message), {});
}

/// Events that come before the reply.
void Simulator::Link::event_fault(const Fault& fault) {
  const auto waits = [&](std::uint16_t vcpu) {
    const std::lock_guard lock{mutex_};
    vcpus_.at(vcpu).waits = ++next_event_;
    return next_event_;
  };
  switch (fault.kind) {
  case FaultKind::unknown_event: return send_event(77, 0, waits(0), {});
  case FaultKind::hypercall_event: return send_event(ids().hypercall, 0, waits(0), {});
  case FaultKind::short_event: return send_event(ids().pause_event, 0, 1, {}, 4);
  case FaultKind::unhook_event: return send_unhook();
  default: return;
  }
}

void Simulator::Link::reply(const Command& command, int error, const Bytes& data, Clock::duration more) {
  Header header{command.header.id, 0, command.header.seq};
  Status status{error, 0};
  Bytes rest = error == 0 ? data : Bytes{};
  auto delay = options_.latency + more;
  const auto kind = command.fault ? command.fault->kind : FaultKind::unknown_event;
  switch (kind) {
  case FaultKind::garbage_status: status.err = 0x12345678; break;
  case FaultKind::error:
    status.err = -command.fault->value;
    rest.clear();
    break;
  case FaultKind::error_with_data:
    status.err = -command.fault->value;
    rest.assign(64, 0xee);
    break;
  case FaultKind::wrong_seq: header.seq += 7; break;
  case FaultKind::wrong_id: ++header.id; break;
  case FaultKind::short_reply: rest.clear(); break;
  case FaultKind::long_reply: rest.insert(rest.end(), 64, 0xee); break;
  case FaultKind::zeros: std::ranges::fill(rest, std::uint8_t{0}); break;
  case FaultKind::ones: std::ranges::fill(rest, std::uint8_t{0xff}); break;
  case FaultKind::silence: return;
  case FaultKind::late: delay += std::chrono::milliseconds{command.fault->value}; break;
  default: break;
  }
  header.size = static_cast<std::uint16_t>(sizeof status + rest.size());
  if (kind == FaultKind::oversized) {
    header.size = 9000;
  }
  Bytes message;
  append(message, header);
  append(message, status);
  message.insert(message.end(), rest.begin(), rest.end());
  const bool is_cut = kind == FaultKind::close_amid;
  if (is_cut) {
    message.resize(message.size() / 2);
  }
  queue(std::move(message), delay, is_cut);
}

} // namespace kvmi_simulator
