// SPDX-License-Identifier: MIT
#include "tests/drivers/qemu_protocol/fake_monitor.h"

#include "tests/drivers/qemu_protocol/unix_listener.h"

#include <array>
#include <sys/socket.h>
#include <utility>

namespace vmemfs {

void FakePeer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string FakePeer::read_line() {
  for (;;) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      return {};
    }
    buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

void FakePeer::wait_for_end() {
  while (!read_line().empty()) {
  }
}

void FakePeer::greet() {
  send(kGreeting);
  answer("{}");
}

void FakePeer::answer(std::string_view value) {
  const std::string command = read_line();
  if (!command.empty()) {
    send(R"({"return": )" + std::string{value} + R"(, "id": )" + id_of(command) + "}\r\n");
  }
}

FakeMonitor::FakeMonitor(std::function<void(FakePeer&)> script)
    : script_{std::move(script)}, listener_{listen_at(path())},
      thread_{[this](const std::stop_token& stop) { serve(stop); }} {}

FakeMonitor::~FakeMonitor() {
  thread_.request_stop();
  ::shutdown(listener_.get(), SHUT_RDWR); // ends accept()
  thread_.join();
}

void FakeMonitor::serve(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    UniqueFd socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!socket) {
      return;
    }
    FakePeer peer{std::move(socket)};
    script_(peer);
  }
}

std::string id_of(std::string_view command) {
  constexpr std::string_view kKey = "\"id\":";
  const std::size_t begin = command.rfind(kKey); // arguments, which may have one too, come first
  if (begin == std::string_view::npos) {
    return "null";
  }
  const std::string_view rest = command.substr(begin + kKey.size());
  return std::string{rest.substr(0, rest.find_first_not_of("0123456789"))};
}

} // namespace vmemfs
