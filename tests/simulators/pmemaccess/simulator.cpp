// SPDX-License-Identifier: MIT
#include "simulators/pmemaccess/simulator.h"

#include <array>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace pmemaccess_simulator {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxPath = 107;
constexpr int kTickMs = 10;

json version_of(Variant variant) {
  switch (variant) {
  case Variant::u64: return {{"major", 4}, {"minor", 1}, {"micro", 0}};
  case Variant::u8: return {{"major", 2}, {"minor", 10}, {"micro", 0}};
  case Variant::old: return {{"major", 1}, {"minor", 6}, {"micro", 0}};
  case Variant::v2_4: return {{"major", 2}, {"minor", 4}, {"micro", 0}};
  }
  return {};
}

bool send_all(int client, std::string text) {
  text += "\r\n";
  return ::send(client, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

} // namespace

Simulator::Simulator(std::string monitor, Options options)
    : path_{std::move(monitor)}, options_{std::move(options)} {
  for (const Fault& fault : options_.faults) {
    record_.add_fault(fault);
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) {
    throw std::runtime_error{"path too long"};
  }
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener_, 1) != 0) {
    throw std::runtime_error{"cannot listen at " + path_};
  }
  thread_ = std::thread{[this] { run(); }};
}

void Simulator::end() {
  stop_ = true;
  if (thread_.joinable()) {
    thread_.join();
  }
  const std::lock_guard lock{mutex_};
  servers_.clear();
}

void Simulator::open_memory(const std::string& path) {
  const std::lock_guard lock{mutex_};
  servers_.emplace_back(path, options_, guest_, record_);
}

void Simulator::run() {
  while (!stop_) {
    pollfd entry{listener_, POLLIN, 0};
    if (::poll(&entry, 1, kTickMs) > 0) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      serve(client); // one client at a time
      ::close(client);
    }
  }
  ::close(listener_);
  ::unlink(path_.c_str());
}

void Simulator::serve(int client) {
  const json greeting{{"QMP",
                       {{"version", {{"qemu", version_of(options_.variant)}, {"package", ""}}},
                        {"capabilities", json::array()}}}};
  if (!send_all(client, greeting.dump())) {
    return;
  }
  std::string received;
  bool reported = running_; // to this client
  while (!stop_) {
    pollfd entry{client, POLLIN, 0};
    const bool readable = ::poll(&entry, 1, kTickMs) > 0;
    if (const bool now = running_; now != reported) {
      reported = now;
      if (!send_all(client, json{{"event", now ? "RESUME" : "STOP"}}.dump())) {
        return;
      }
    }
    if (!readable) {
      continue;
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(client, bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      return;
    }
    received.append(bytes.data(), static_cast<std::size_t>(got));
    for (auto end = received.find('\n'); end != std::string::npos; end = received.find('\n')) {
      const std::string line = received.substr(0, end);
      received.erase(0, end + 1);
      std::this_thread::sleep_for(options_.latency);
      if (!send_all(client, reply_to(line))) {
        return;
      }
    }
  }
}

std::string Simulator::reply_to(const std::string& line) {
  const json message = json::parse(line);
  const std::string command = message.at("execute");
  const json arguments = message.value("arguments", json::object());
  record_.note([&](Seen& seen) { seen.commands.push_back(command); });
  const auto answer = [&](const json& value) {
    return json{{"return", value}, {"id", message.value("id", json{})}}.dump();
  };
  if (command == "qmp_capabilities") {
    return answer(json::object());
  }
  if (command == "query-status") {
    return answer({{"running", running_.load()}, {"status", running_ ? "running" : "paused"}});
  }
  if (command == "stop" || command == "cont") {
    running_ = command == "cont";
    return answer(json::object());
  }
  const bool fast = command == "query-cpus-fast";
  if ((fast && options_.cpus_fast) || command == "query-cpus") {
    json cpus = json::array();
    for (unsigned i = 0; i < options_.vcpus; ++i) {
      cpus.push_back({{fast ? "cpu-index" : "CPU", i}});
    }
    return answer(cpus);
  }
  if (command == "query-name") {
    return answer({{"name", "simulated"}});
  }
  if (command == "query-uuid") {
    return answer({{"UUID", "00000000-0000-0000-0000-000000000000"}});
  }
  if (command == "query-target") {
    return answer({{"arch", "x86_64"}});
  }
  if (command == "query-kvm") {
    return answer({{"enabled", options_.kvm}, {"present", true}});
  }
  if (command == "query-migrate") {
    return answer(migrating_ ? json{{"status", "active"}} : json::object());
  }
  if (command == "human-monitor-command") {
    const std::string text = arguments.at("command-line");
    return answer(text == "info registers -a"                 ? Guest::registers(options_.vcpus)
                  : text == "info mtree -f" && options_.mtree ? Guest::mtree()
                                                              : "unknown option -f\r\n");
  }
  if (command == "pmemaccess" && options_.patched) {
    const std::string path = arguments.at("path");
    if (path.size() > kMaxPath) {
      record_.note([](Seen& seen) { seen.violations.emplace_back("a path that corrupts QEMU's heap"); });
    } else if (!options_.refuses_files) {
      open_memory(path);
    }
    return answer(json::object());
  }
  return json{
      {"error", {{"class", "CommandNotFound"}, {"desc", "The command " + command + " has not been found"}}},
      {"id", message.value("id", json{})}}
      .dump();
}

} // namespace pmemaccess_simulator
