// SPDX-License-Identifier: MIT
#include "simulators/kvmi/simulator.h"

#include "simulators/kvmi/link.h"

#include <algorithm>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace kvmi_simulator {
namespace {

bool receive_all(int socket, void* to, std::size_t size) {
  return ::recv(socket, to, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

} // namespace

Simulator::Simulator(std::shared_ptr<Guest> guest, Options options)
    : guest_{std::move(guest)}, options_{std::move(options)}, faults_{options_.faults} {
  thread_ = std::thread{[this] { run(); }};
}

Simulator::~Simulator() {
  end();
  thread_.join();
}

Seen Simulator::seen() const {
  const std::lock_guard lock{mutex_};
  return seen_;
}

void Simulator::reset_counts() {
  const std::lock_guard lock{mutex_};
  seen_ = {};
}

void Simulator::add_fault(const Fault& fault) {
  const std::lock_guard lock{mutex_};
  faults_.push_back(fault);
}

unsigned Simulator::waiting_vcpus() const {
  const std::lock_guard lock{mutex_};
  return link_ == nullptr ? 0 : link_->waiting_vcpus();
}

void Simulator::shut() {
  const std::lock_guard lock{mutex_};
  if (link_ != nullptr) {
    link_->shut();
  }
}

void Simulator::wait_for_link() const {
  while (!connected_ && !ended_) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

void Simulator::disconnect() {
  wait_for_link();
  shut();
}

void Simulator::unhook() {
  wait_for_link();
  const std::lock_guard lock{mutex_};
  if (link_ != nullptr) {
    link_->send_unhook();
  }
}

void Simulator::end() {
  ended_ = true;
  shut();
}

int Simulator::connect_once() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(static_cast<char*>(address.sun_path), options_.socket.c_str(), sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return socket;
  }
  ::close(socket);
  return -1;
}

bool Simulator::shake_hands(int socket) {
  Greeting greeting{};
  greeting.struct_size = options_.dialect == Dialect::v12 ? sizeof(Greeting) : kTreeGreetingSize;
  const GuestOptions& guest = guest_->options();
  for (unsigned i = 0; i < 16; ++i) {
    constexpr std::uint8_t kDigits[]{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33,
                                     0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0};
    greeting.uuid[i] = i == 15 ? guest.number : kDigits[i];
  }
  greeting.start_time = guest.start_time;
  std::strncpy(static_cast<char*>(greeting.name), guest.name.c_str(), sizeof greeting.name - 1);
  greeting.max_gpa = guest_->end();
  if (options_.greeting_size) {
    greeting.struct_size = *options_.greeting_size;
  }
  std::vector<char> bytes(std::min<std::size_t>({greeting.struct_size, options_.greeting_sent, 1U << 20U}));
  std::memcpy(bytes.data(), &greeting, std::min(bytes.size(), sizeof greeting));
  std::this_thread::sleep_for(options_.greeting_delay);
  Answer answer{};
  if (::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()) ||
      !receive_all(socket, &answer, sizeof answer)) {
    return false;
  }
  const std::lock_guard lock{mutex_};
  if (options_.hash && std::memcmp(options_.hash->data(), static_cast<const void*>(answer.cookie_hash),
                                   options_.hash->size()) != 0) {
    ++seen_.refused_hashes;
    return false;
  }
  if (answer.struct_size != sizeof answer) {
    seen_.violations.emplace_back("the answer to the greeting has another size");
    return false;
  }
  ++seen_.connections;
  return true;
}

void Simulator::run() {
  while (!ended_) {
    const int socket = connect_once();
    if (socket >= 0 && shake_hands(socket)) {
      LinkHooks hooks;
      hooks.fault = [this](std::uint16_t id) -> std::optional<Fault> {
        const std::lock_guard lock{mutex_};
        for (Fault& fault : faults_) {
          if (fault.id != id || fault.times == 0) {
            continue;
          }
          if (fault.skip > 0) {
            --fault.skip;
            continue;
          }
          --fault.times;
          return fault;
        }
        return std::nullopt;
      };
      hooks.received = [this](bool is_new, unsigned commands) {
        const std::lock_guard lock{mutex_};
        seen_.flights += is_new && commands > 0 ? 1 : 0;
        seen_.commands += commands;
      };
      hooks.read = [this] {
        const std::lock_guard lock{mutex_};
        ++seen_.reads;
      };
      hooks.query = [this] {
        const std::lock_guard lock{mutex_};
        ++seen_.queries;
      };
      hooks.violation = [this](std::string what) {
        const std::lock_guard lock{mutex_};
        seen_.violations.push_back(std::move(what));
      };
      hooks.unexpected_reply = [this] {
        const std::lock_guard lock{mutex_};
        ++seen_.unexpected_replies;
      };
      const auto link = std::make_shared<Link>(socket, *guest_, options_, std::move(hooks));
      {
        const std::lock_guard lock{mutex_};
        link_ = link;
      }
      if (ended_) {
        link->shut();
      }
      connected_ = true;
      link->serve();
      connected_ = false;
      const std::lock_guard lock{mutex_};
      link_.reset();
    } else if (socket >= 0) {
      ::close(socket);
    }
    if (!options_.reconnects && socket >= 0) {
      return;
    }
    const auto again = std::chrono::steady_clock::now() + options_.reconnect;
    while (!ended_ && std::chrono::steady_clock::now() < again) {
      std::this_thread::sleep_for(std::min(options_.reconnect, std::chrono::milliseconds{10}));
    }
  }
}

} // namespace kvmi_simulator
