// SPDX-License-Identifier: MIT
#include "support/network/ssh_server.h"

#include "support/free_port.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::test {

std::string why_no_ssh_server() {
  if (::geteuid() != 0) {
    return "an ssh server of the tests' own takes root";
  }
  for (const char* const program :
       {"/usr/sbin/dropbear", "/usr/bin/dropbearkey", "/usr/bin/ssh", "/usr/bin/unshare"}) {
    if (!exists(program)) {
      return fmt::format("there is no {}", program);
    }
  }
  return {};
}

namespace {

std::string done(const std::vector<std::string>& command) {
  RunResult result = run(command);
  if (result.code != 0) {
    throw std::runtime_error{command.front() + ": " + result.text};
  }
  return std::move(result.text);
}

} // namespace

SshServer::SshServer() : port_{free_port()} {
  const std::string made = done(
      {"dropbearkey", "-t", "ed25519", "-f", dir_ / "host_key"}); // prints the public half, among other lines
  done({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir_ / "user_key"});
  const std::size_t key = made.find("ssh-ed25519 ");
  if (key == std::string::npos) {
    throw std::runtime_error{"no key of the server: " + made};
  }
  write_file(dir_ / "known",
             fmt::format("[127.0.0.1]:{} {}\n", port_, made.substr(key, made.find('\n', key) - key)));
  write_file(
      dir_ / "ssh_config",
      fmt::format("IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n"
                  "BatchMode yes\n",
                  dir_ / "user_key", dir_ / "known"));
  write_file(client(), fmt::format("#!/bin/sh\nexec ssh -F '{}' \"$@\"\n", dir_ / "ssh_config"));
  std::filesystem::permissions(client(), std::filesystem::perms::owner_all);
  start();
}

void SshServer::start() {
  // Whom it lets in stands in root's home, so it sees another one; and all of its sessions end with it where
  // it is the first process of a namespace.
  daemon_ = std::make_unique<ChildProcess>(
      std::vector<std::string>{
          "unshare", "-m", "-p", "--fork", "--kill-child", "--propagation", "private", "sh", "-c",
          fmt::format(
              "mount -t tmpfs -o mode=700 none /root && mkdir -m 700 /root/.ssh && "
              "cp '{}' /root/.ssh/authorized_keys && exec dropbear -F -E -P '{}' -r '{}' -p 127.0.0.1:{}",
              dir_ / "user_key.pub", dir_ / "pid", dir_ / "host_key", port_)},
      dir_ / "log");
  const auto answers = [this] {
    return run({client(), "-p", fmt::format("{}", port_), "root@127.0.0.1", "true"}).code == 0;
  };
  const auto ended = [this] { return daemon_->wait({}).has_value(); };
  if (!eventually([&] { return answers() || ended(); }) || ended()) {
    throw std::runtime_error{"the ssh server does not start: " + read_file(dir_ / "log")};
  }
}

void SshServer::stop() {
  daemon_->signal(SIGKILL);
  daemon_->wait(std::chrono::seconds{10});
  if (!eventually([this] { return refuses_connections(port_); })) { // the server ends a moment later
    throw std::runtime_error{"the ssh server does not end"};
  }
}

} // namespace vmemfs::test
