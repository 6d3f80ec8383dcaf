// SPDX-License-Identifier: MIT
#include "simulators/fdp/simulator.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace fdp_simulator {
namespace {

constexpr std::size_t kMaxRead = 1U << 20U;
constexpr std::size_t kMaxWrite = (1U << 20U) - 24;

std::atomic_ref<std::uint8_t> byte(std::uint8_t& at) { return std::atomic_ref<std::uint8_t>{at}; }

void unlock(std::uint8_t& at) { byte(at).store(0); }

int make_object(const std::string& name, std::size_t size) {
  const mode_t mask = ::umask(0);
  const int file = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0666);
  ::umask(mask);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(size)) != 0) {
    throw std::runtime_error{"cannot make the shared memory " + name};
  }
  return file;
}

template <typename Packet> Packet as(const std::uint8_t* bytes) {
  Packet packet;
  std::memcpy(&packet, bytes, sizeof(packet));
  return packet;
}

} // namespace

/// One that a client keeps must not keep the simulator from ending.
void Simulator::lock(std::uint8_t& at) const {
  while (byte(at).exchange(1) != 0 && !stop_) {
    std::this_thread::yield();
  }
}

std::string Simulator::unique_name() {
  static std::atomic<unsigned> next{0};
  return "vmemfs-test-" + std::to_string(::getpid()) + "-" + std::to_string(next++);
}

Simulator::Simulator(std::string name, Options options)
    : name_{std::move(name)}, options_{std::move(options)}, faults_{options_.faults} {
  file_ = make_object(name_, sizeof(Shared));
  ::close(make_object("CPU_" + name_, kCpuBytes));
  void* const begin = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (begin == MAP_FAILED) {
    throw std::runtime_error{"cannot map the shared memory"};
  }
  shared_ = static_cast<Shared*>(begin);
  thread_ = std::thread{[this] { run(); }};
}

void Simulator::stop_serving() {
  stop_ = true;
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Simulator::cut() {
  stop_serving();
  static_cast<void>(::ftruncate(file_, 0));
}

void Simulator::end() {
  stop_serving();
  if (shared_ != nullptr) {
    ::shm_unlink(name_.c_str());
    ::shm_unlink(("CPU_" + name_).c_str());
    ::munmap(std::exchange(shared_, nullptr), sizeof(Shared));
    ::close(file_);
  }
}

Seen Simulator::seen() const {
  const std::lock_guard guard{mutex_};
  return seen_;
}

void Simulator::add_fault(const Fault& fault) {
  const std::lock_guard guard{mutex_};
  faults_.push_back(fault);
}

void Simulator::violation(const std::string& what) {
  const std::lock_guard guard{mutex_};
  seen_.violations.push_back(what);
}

/// The first one that is due.
std::optional<Fault> Simulator::next_fault() {
  const std::lock_guard guard{mutex_};
  std::optional<Fault> found;
  for (Fault& fault : faults_) {
    if (fault.skip > 0) {
      --fault.skip;
    } else if (fault.times > 0 && !found) {
      --fault.times;
      found = fault;
    }
  }
  return found;
}

void Simulator::set_paused(bool paused, bool at_breakpoint) {
  guest_.at_breakpoint = at_breakpoint;
  set_run_state(paused);
}

void Simulator::set_run_state(bool paused) {
  if (guest_.paused.exchange(paused) != paused) {
    guest_.pauses += paused ? 1 : 0;
    lock(shared_->state_lock);
    byte(shared_->state_changed).store(1);
    unlock(shared_->state_lock);
  }
}

bool Simulator::state_changed() { return byte(shared_->state_changed).load() != 0; }

void Simulator::clear_state_changed() {
  lock(shared_->state_lock);
  byte(shared_->state_changed).store(0);
  unlock(shared_->state_lock);
}

void Simulator::hold_general_lock(bool held) {
  if (held) {
    lock(shared_->lock);
  } else {
    unlock(shared_->lock);
  }
}

bool Simulator::general_lock_held() { return byte(shared_->lock).load() != 0; }

void Simulator::leave_reply() {
  const std::uint64_t number = 0x1234;
  lock(shared_->to_client.lock);
  std::memcpy(shared_->to_client.data, &number, sizeof(number));
  shared_->to_client.size = sizeof(number);
  shared_->to_client.status = 1;
  byte(shared_->to_client.present).store(1);
  unlock(shared_->to_client.lock);
}

void Simulator::leave_request() {
  lock(shared_->to_server.lock);
  shared_->to_server.data[0] = 6;
  shared_->to_server.size = 1;
  shared_->to_server.status = 1;
  byte(shared_->to_server.present).store(1);
  unlock(shared_->to_server.lock);
}

void Simulator::wait(std::chrono::microseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!stop_ && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::min<std::chrono::microseconds>(time, std::chrono::milliseconds{5}));
  }
}

/// Spins for a while after a request, as the next one usually follows at once.
void Simulator::run() {
  auto last = std::chrono::steady_clock::now();
  while (!stop_) {
    if (awake_ && !hung_ && byte(shared_->to_server.present).load() != 0) {
      serve();
      last = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - last > std::chrono::microseconds{100}) {
      std::this_thread::sleep_for(std::chrono::microseconds{50});
    }
  }
}

void Simulator::serve() {
  fault_ = next_fault();
  if (fault_ && fault_->kind == FaultKind::untaken) {
    hung_ = true;
    return;
  }
  Channel& channel = shared_->to_server;
  lock(channel.lock);
  const std::size_t size = std::min<std::size_t>(channel.size, sizeof(channel.data));
  std::vector<std::uint8_t> packet(channel.data, channel.data + size);
  if (channel.status != 1) {
    violation("the status of a request is not 1");
  }
  byte(channel.present).store(0);
  unlock(channel.lock);
  if (byte(shared_->lock).load() == 0) {
    violation("a request without the general lock");
  }
  if (packet.empty()) {
    violation("an empty request");
    return;
  }
  {
    const std::lock_guard guard{mutex_};
    ++seen_.requests;
  }
  if (options_.latency.count() > 0) {
    wait(options_.latency);
  }
  answer(packet.data(), packet.size());
}

bool Simulator::expect_size(std::size_t size, std::size_t expected, unsigned opcode) {
  if (size != expected) {
    violation("a packet of " + std::to_string(size) + " bytes for opcode " + std::to_string(opcode));
  }
  return size >= expected;
}

void Simulator::answer(const std::uint8_t* packet, std::size_t size) {
  const unsigned opcode = packet[0];
  const auto fits = [&](std::size_t expected) { return expect_size(size, expected, opcode); };
  switch (opcode) {
  case 2:
    if (fits(sizeof(MemoryPacket))) {
      read_memory(packet);
    }
    return;
  case 3:
    if (fits(sizeof(RegisterPacket))) {
      const auto wanted = as<RegisterPacket>(packet);
      reply_number(guest_.get_register(wanted.cpu, wanted.id));
    }
    return;
  case 4:
    if (fits(sizeof(MsrPacket))) {
      const auto wanted = as<MsrPacket>(packet);
      reply_number(guest_.get_msr(wanted.cpu, wanted.msr));
    }
    return;
  case 5:
    if (fits(sizeof(MsrWritePacket))) {
      const auto wanted = as<MsrWritePacket>(packet);
      guest_.set_msr(wanted.cpu, wanted.msr, wanted.value);
      reply_bool(true);
    }
    return;
  case 6: fits(1); return reply_number(options_.ram_bytes);
  case 7:
  case 8:
    fits(1);
    if (options_.obeys) {
      set_run_state(opcode == 7);
    }
    return reply_bool(true);
  case 14: return write_memory(packet, size);
  case 16: {
    fits(sizeof(CpuPacket));
    const std::uint8_t bits = (guest_.paused ? 1 : 0) | (guest_.at_breakpoint ? 2 : 0);
    return reply(&bits, 1);
  }
  case 18:
    if (fits(sizeof(RegisterWritePacket))) {
      const auto wanted = as<RegisterWritePacket>(packet);
      if (options_.sets_registers) {
        guest_.set_register(wanted.cpu, wanted.id, wanted.value);
      }
      reply_bool(true);
    }
    return;
  case 22: fits(1); return reply(&options_.vcpus, sizeof(options_.vcpus));
  default: violation("opcode " + std::to_string(opcode)); // and no reply
  }
}

void Simulator::read_memory(const std::uint8_t* packet) {
  const auto wanted = as<MemoryPacket>(packet);
  {
    const std::lock_guard guard{mutex_};
    ++seen_.reads;
    seen_.max_read = std::max<std::size_t>(seen_.max_read, wanted.size);
  }
  if (wanted.size == 0 || wanted.size > kMaxRead) {
    violation("a read of " + std::to_string(wanted.size) + " bytes");
  }
  buffer_.resize(std::min<std::size_t>(wanted.size, kMaxRead));
  if (guest_.read(wanted.address, buffer_.size(), buffer_.data())) {
    reply(buffer_.data(), buffer_.size());
  } else {
    reply("", 1, 0);
  }
}

void Simulator::write_memory(const std::uint8_t* packet, std::size_t size) {
  if (size < sizeof(WritePacket)) {
    violation("a short write packet");
    return;
  }
  const auto wanted = as<WritePacket>(packet);
  {
    const std::lock_guard guard{mutex_};
    ++seen_.writes;
    seen_.max_write = std::max<std::size_t>(seen_.max_write, wanted.size);
  }
  expect_size(size, 24 + std::size_t{wanted.size}, 14);
  if (wanted.size == 0 || wanted.size > kMaxWrite || wanted.size > size - 20) {
    violation("a write of " + std::to_string(wanted.size) + " bytes, which overruns a buffer of VirtualBox");
    return reply_bool(false);
  }
  reply_bool(guest_.write(wanted.address, wanted.size, packet + offsetof(WritePacket, data)));
}

void Simulator::reply_bool(bool value) {
  const std::uint8_t number = value ? 1 : 0;
  reply(&number, 1);
}

void Simulator::reply_number(std::uint64_t value) { reply(&value, sizeof(value)); }

void Simulator::reply(const void* bytes, std::size_t size, std::uint8_t status) {
  std::uint32_t said = static_cast<std::uint32_t>(size);
  const FaultKind kind = fault_ ? fault_->kind : FaultKind::late;
  if (kind == FaultKind::silence) {
    hung_ = true;
    return;
  }
  if (fault_ && fault_->delay.count() > 0) {
    wait(fault_->delay);
  }
  Channel& channel = shared_->to_client;
  while (byte(channel.present).load() != 0 && !stop_) {
    std::this_thread::yield();
  }
  lock(channel.lock);
  std::memcpy(channel.data, bytes, size);
  if (kind == FaultKind::refuse) {
    said = 1;
    status = 0;
  } else if (kind == FaultKind::status) {
    status = static_cast<std::uint8_t>(fault_->value);
  } else if (kind == FaultKind::wrong_size) {
    said += fault_->value;
  } else if (kind == FaultKind::size_field) {
    said = 0xffffffff;
  }
  channel.size = said;
  channel.status = status;
  byte(channel.present).store(1);
  if (kind != FaultKind::hold_lock) {
    unlock(channel.lock);
  }
}

} // namespace fdp_simulator
