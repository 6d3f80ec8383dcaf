// SPDX-License-Identifier: MIT
#include "support/test_monitor.h"

#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

namespace vmemfs::test {

TestMonitor::TestMonitor(const std::string& socket_path)
    : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  constexpr timeval kLimit{60, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kLimit, sizeof(kLimit));
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error{"cannot connect to " + socket_path};
  }
  if (!read_message().contains("QMP")) {
    throw std::runtime_error{"no greeting on " + socket_path};
  }
  execute("qmp_capabilities");
}

nlohmann::json TestMonitor::read_message() {
  std::size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    char buffer[65536];
    const ssize_t count = ::read(socket_.get(), buffer, sizeof(buffer));
    if (count <= 0) {
      throw std::runtime_error{"the monitor does not answer"};
    }
    received_.append(buffer, static_cast<std::size_t>(count));
  }
  auto message = nlohmann::json::parse(received_.substr(0, end));
  received_.erase(0, end + 1);
  return message;
}

nlohmann::json TestMonitor::execute(const std::string& command, const nlohmann::json& arguments) {
  const std::string line = nlohmann::json{{"execute", command}, {"arguments", arguments}}.dump() + "\n";
  if (::write(socket_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw std::runtime_error{"cannot write to the monitor"};
  }
  while (true) {
    const auto message = read_message();
    if (message.contains("return")) {
      return message["return"];
    }
    if (message.contains("error")) {
      throw std::runtime_error{command + ": " + message["error"].dump()};
    }
  }
}

std::string TestMonitor::human(const std::string& command_line) {
  return execute("human-monitor-command", {{"command-line", command_line}}).get<std::string>();
}

} // namespace vmemfs::test
