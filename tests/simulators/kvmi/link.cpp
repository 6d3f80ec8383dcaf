// SPDX-License-Identifier: MIT
#include "simulators/kvmi/link.h"

#include "simulators/kvmi/bytes.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace kvmi_simulator {

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
      is_new = queue_.empty(); // the tool may have the last reply before its send() returns
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
  case FaultKind::event_flood:
    for (int i = 0; i < fault.value; ++i) {
      send_event(ids().hypercall, 0, kFloodBegin + static_cast<std::uint32_t>(i), {});
    }
    return;
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
  case FaultKind::replaced:
    rest.clear();
    for (const std::uint64_t value : command.fault->data) {
      append(rest, value);
    }
    break;
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
