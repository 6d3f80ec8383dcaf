// SPDX-License-Identifier: MIT
// Scripted monitor for tests: a thread that serves connections to a UNIX socket, one at a time.
#pragma once

#include "support/files.h"
#include "util/unique_fd.h"

#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace vmemfs {

/// The server's side of one connection.
class FakePeer {
public:
  explicit FakePeer(UniqueFd socket) : socket_{std::move(socket)} {}

  void send(std::string_view bytes); ///< no effect after the client has disconnected
  std::string read_line();           ///< without its line end; empty if the client has disconnected
  void wait_for_end();               ///< until the client disconnects
  void greet();                      ///< sends the greeting and the answer to qmp_capabilities
  /// Reads a command and answers with `value` (JSON text).
  void answer(std::string_view value);

  static constexpr std::string_view kGreeting =
      R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}})"
      "\r\n";

private:
  UniqueFd socket_;
  std::string buffer_;
};

class FakeMonitor {
public:
  explicit FakeMonitor(std::function<void(FakePeer&)> script);
  ~FakeMonitor();
  FakeMonitor(const FakeMonitor&) = delete;
  FakeMonitor& operator=(const FakeMonitor&) = delete;

  [[nodiscard]] std::string path() const { return directory_ / "qmp"; }

private:
  void serve(const std::stop_token& stop);

  test::TempDir directory_;
  std::function<void(FakePeer&)> script_;
  UniqueFd listener_;
  std::jthread thread_;
};

/// The "id" in a command, as text.
[[nodiscard]] std::string id_of(std::string_view command);

} // namespace vmemfs
