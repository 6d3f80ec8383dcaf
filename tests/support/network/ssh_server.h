// SPDX-License-Identifier: MIT
// An ssh server of the tests' own, on 127.0.0.1.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <memory>
#include <string>

namespace vmemfs::test {

/// Whether one can be started here, by root. Else why not.
[[nodiscard]] std::string why_no_ssh_server();

/// Lets root in, by a key that was made for it. Neither it nor client() reads or writes anybody's ~/.ssh.
class SshServer {
public:
  SshServer();

  [[nodiscard]] unsigned port() const { return port_; }
  /// A program that is ssh, and knows the key and the server.
  [[nodiscard]] std::string client() const { return dir_ / "ssh"; }
  /// Ends all that is connected, as a network that breaks does; nobody can connect before start().
  void stop();
  void start();

private:
  TempDir dir_;
  const unsigned port_;
  std::unique_ptr<ChildProcess> daemon_;
};

} // namespace vmemfs::test
