// SPDX-License-Identifier: MIT
// The stream of a QMP monitor: once from its first byte, and once after a negotiation that succeeded.
#include "drivers/qemu_protocol/qmp_connection.h"
#include "fuzz/fuzz_target.h"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

namespace {

using vmemfs::QmpConnection;
using vmemfs::UniqueFd;

/// A monitor that sends the given bytes to its only client, whatever it asks, and hangs up.
class FakeMonitor {
public:
  FakeMonitor()
      : path_{std::filesystem::temp_directory_path() / ("vmemfs-fuzz-" + std::to_string(::getpid()))} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    vmemfs::fuzz::expect(path_.size() < sizeof(address.sun_path), "TMPDIR is short");
    path_.copy(address.sun_path, path_.size());
    ::unlink(path_.c_str());
    vmemfs::fuzz::expect(
        ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
            ::listen(socket_.get(), 1) == 0,
        "a socket listens");
  }
  ~FakeMonitor() { ::unlink(path_.c_str()); }
  FakeMonitor(const FakeMonitor&) = delete;
  FakeMonitor& operator=(const FakeMonitor&) = delete;

  void serve_one(std::string_view bytes) const {
    const UniqueFd client{::accept(socket_.get(), nullptr, nullptr)};
    while (!bytes.empty()) {
      const ssize_t sent = ::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        break;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    ::shutdown(client.get(), SHUT_WR);
    std::array<char, 4096> commands{};
    while (::recv(client.get(), commands.data(), commands.size(), 0) > 0) {
    }
  }

  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
  UniqueFd socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
};

void talk(const std::string& path) {
  const auto deadline = QmpConnection::Clock::now() + std::chrono::seconds{10};
  auto connection = QmpConnection::open(path, deadline);
  if (!connection) {
    return;
  }
  std::size_t events = 0;
  connection->set_event_handler([&](const vmemfs::QmpEvent& event) {
    vmemfs::fuzz::expect(!event.name.empty(), "an event has a name");
    ++events;
  });
  static_cast<void>(connection->execute("query-status", nullptr, deadline));
  static_cast<void>(connection->human("info mtree -f", deadline));
  static_cast<void>(connection->drain_events());
}

void serve(std::string_view bytes) {
  static const FakeMonitor monitor; // removed at the end of the program
  const std::jthread peer{[&] { monitor.serve_one(bytes); }};
  talk(monitor.path());
}

} // namespace

FUZZ_TARGET(text) {
  static const std::string kNegotiated =
      R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}})"
      "\n"
      R"({"return": {}, "id": 1})"
      "\n";
  serve(text);
  serve(kNegotiated + std::string{text});
}
