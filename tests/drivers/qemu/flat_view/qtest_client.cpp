// SPDX-License-Identifier: MIT
#include "tests/drivers/qemu/flat_view/qtest_client.h"

#include "core/text.h"

#include <array>
#include <fmt/format.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

namespace vmemfs::qemu {

QtestClient::QtestClient(const std::string& path)
    : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const timeval limit{30, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error{"cannot connect to " + path};
  }
}

std::string QtestClient::ask(const std::string& line) {
  if (::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    throw std::runtime_error{"qtest takes no command"};
  }
  while (true) {
    if (const std::size_t end = received_.find('\n'); end != std::string::npos) {
      std::string answer = received_.substr(0, end);
      received_.erase(0, end + 1);
      if (answer.starts_with("IRQ")) {
        continue;
      }
      if (!answer.starts_with("OK")) {
        throw std::runtime_error{fmt::format("qtest: {} to {}", answer, line)};
      }
      return answer.size() > 3 ? answer.substr(3) : std::string{};
    }
    std::array<char, 256> bytes{};
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      throw std::runtime_error{"qtest does not answer"};
    }
    received_.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

void QtestClient::write(std::string_view what, std::uint64_t address, std::uint64_t value) {
  ask(fmt::format("{} {:#x} {:#x}\n", what, address, value));
}

std::uint64_t QtestClient::read(std::string_view what, std::uint64_t address) {
  return parse_u64(ask(fmt::format("{} {:#x}\n", what, address))).value();
}

} // namespace vmemfs::qemu
