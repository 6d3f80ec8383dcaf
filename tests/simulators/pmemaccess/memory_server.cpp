// SPDX-License-Identifier: MIT
#include "simulators/pmemaccess/memory_server.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace pmemaccess_simulator {
namespace {

/// As the patch has it since 2018.
struct Request {
  std::uint64_t type;
  std::uint64_t address;
  std::uint64_t length;
};
static_assert(sizeof(Request) == 24);

constexpr std::uint64_t kQuit = 0;
constexpr std::uint64_t kRead = 1;
constexpr std::uint64_t kWrite = 2;
constexpr std::uint64_t kGoodRead = 1 << 20;
constexpr std::uint64_t kGoodWrite = 4096;
constexpr int kTickMs = 10;

} // namespace

std::optional<Fault> Record::next_fault() {
  const std::lock_guard lock{mutex_};
  for (Fault& fault : faults_) {
    if (fault.times == 0) {
      continue;
    }
    if (fault.skip > 0) {
      --fault.skip;
      return std::nullopt;
    }
    --fault.times;
    return fault;
  }
  return std::nullopt;
}

MemoryServer::MemoryServer(std::string path, const Options& options, Guest& guest, Record& record)
    : path_{std::move(path)}, options_{options}, guest_{guest}, record_{record} {
  if (options_.variant != Variant::old) {
    bind();
  }
  thread_ = std::thread{[this] { run(); }};
}

MemoryServer::~MemoryServer() {
  stop_ = true;
  thread_.join();
}

void MemoryServer::bind() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) {
    throw std::runtime_error{"path too long"};
  }
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  ::unlink(path_.c_str());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener_, 0) != 0) {
    throw std::runtime_error{"cannot listen at " + path_};
  }
}

void MemoryServer::run() {
  if (options_.variant == Variant::old) {
    pause(std::chrono::milliseconds{100});
    bind();
  }
  if (readable(listener_)) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    record_.note([](Seen& seen) { ++seen.sessions; });
    serve(client);
    ::close(client);
  }
  ::close(listener_);
  ::unlink(path_.c_str());
}

bool MemoryServer::readable(int fd) const {
  while (!stop_) {
    pollfd entry{fd, POLLIN, 0};
    if (::poll(&entry, 1, kTickMs) > 0) {
      return true;
    }
  }
  return false;
}

void MemoryServer::pause(std::chrono::microseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!stop_ && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(
        std::min<std::chrono::microseconds>(time, std::chrono::milliseconds{kTickMs}));
  }
}

void MemoryServer::serve(int client) {
  while (readable(client)) {
    Request request{};
    const ssize_t got = ::recv(client, &request, sizeof(request), 0);
    if (got <= 0) {
      const bool spins = options_.variant == Variant::old || options_.variant == Variant::v2_4;
      record_.note([spins](Seen& seen) {
        seen.violations.emplace_back(spins ? "closed without quit: QEMU spins" : "closed without quit");
      });
      return;
    }
    if (got != sizeof(request)) {
      record_.note([](Seen& seen) { seen.violations.emplace_back("a header in pieces"); });
      continue;
    }
    if (request.type > UINT8_MAX) {
      record_.note([](Seen& seen) { seen.violations.emplace_back("padding that is not 0"); });
    }
    const std::uint64_t type = options_.variant == Variant::u64 ? request.type : request.type & UINT8_MAX;
    if (type == kQuit) {
      record_.note([](Seen& seen) { ++seen.quits; });
      return;
    }
    const std::uint8_t unknown = 0;
    const bool goes_on = type == kRead    ? serve_read(client, request.address, request.length)
                         : type == kWrite ? serve_write(client, request.address, request.length)
                                          : send(client, &unknown, 1);
    if (!goes_on) {
      return;
    }
  }
}

bool MemoryServer::serve_read(int client, std::uint64_t address, std::uint64_t size) {
  record_.note([size](Seen& seen) {
    ++seen.reads;
    seen.max_read = std::max<std::size_t>(seen.max_read, size);
    if (size > kGoodRead) {
      seen.violations.emplace_back("a read of more than 1 MiB");
    }
  });
  std::vector<std::uint8_t> reply;
  const bool done = guest_.read(address, size, reply);
  if (done || options_.failure == FailureForm::documented) {
    reply.push_back(done ? 1 : 0);
  } else {
    reply = {options_.failure == FailureForm::first_byte && !reply.empty() ? reply[0]
                                                                           : options_.failure_value};
  }
  return answer(client, reply);
}

bool MemoryServer::serve_write(int client, std::uint64_t address, std::uint64_t size) {
  record_.note([&](Seen& seen) {
    ++seen.writes;
    if (size > kGoodWrite) {
      seen.violations.emplace_back("a write of more than 4 KiB");
    }
    if (options_.variant == Variant::v2_4) {
      seen.violations.emplace_back("a write to QEMU 2.4.0");
    }
  });
  std::vector<std::uint8_t> bytes(std::min<std::uint64_t>(size, kGoodRead));
  const ssize_t got = ::recv(client, bytes.data(), bytes.size(), 0); // one call, as in the patch
  const bool all = got == static_cast<ssize_t>(size) && guest_.write(address, bytes.data(), size) == size;
  return answer(client, {static_cast<std::uint8_t>(all ? 1 : 0)});
}

bool MemoryServer::answer(int client, const std::vector<std::uint8_t>& reply) {
  pause(options_.latency);
  const auto fault = record_.next_fault();
  const std::size_t size = reply.size();
  if (!fault) {
    return send(client, reply.data(), size);
  }
  switch (fault->kind) {
  case FaultKind::status: {
    auto changed = reply;
    changed.back() = fault->value;
    return send(client, changed.data(), size);
  }
  case FaultKind::refuse: return send(client, &fault->value, 1);
  case FaultKind::split:
    for (std::size_t at = 0; at < size; at += fault->value) {
      if (!send(client, reply.data() + at, std::min<std::size_t>(fault->value, size - at))) {
        return false;
      }
      pause(fault->delay);
    }
    return true;
  case FaultKind::late: pause(fault->delay); return send(client, reply.data(), size);
  case FaultKind::late_rest:
    if (!send(client, reply.data(), 1)) {
      return false;
    }
    pause(fault->delay);
    return send(client, reply.data() + 1, size - 1);
  case FaultKind::close: return false;
  case FaultKind::close_amid: send(client, reply.data(), size / 2); return false;
  case FaultKind::close_after: send(client, reply.data(), size); return false;
  case FaultKind::silence: return true;
  case FaultKind::extra: {
    auto more = reply;
    more.push_back(fault->value);
    return send(client, more.data(), more.size());
  }
  }
  return false;
}

bool MemoryServer::send(int client, const std::uint8_t* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(client, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

} // namespace pmemaccess_simulator
