// SPDX-License-Identifier: MIT
// Hosts far away as they are reached in earnest: by ssh, which is a program that vmemfs has to start from
// where it is confined, and by TLS.
#include "e2e/libvirt/domains.h"
#include "support/network/ssh_server.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <system_error>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class LibvirtTransport : public Libvirt {};

std::string ssh_uri(const LibvirtHost& host, const SshServer& server, const std::string& client) {
  return fmt::format("qemu+ssh://root@127.0.0.1:{}/system?socket={}&command={}", server.port(), host.socket(),
                     client);
}

/// The option's value as our parameters quote it: a URI has their '=' and ','.
std::string in_quotes(const std::string& uri) { return '"' + uri + '"'; }

/// How many of a process's threads do not block the signal.
unsigned threads_that_take(int signal, const std::string& process) {
  unsigned count = 0;
  for (const auto& thread : std::filesystem::directory_iterator{process + "/task"}) {
    std::string status;
    try {
      status = read_file(thread.path() / "status");
    } catch (const std::system_error&) { // it has just ended
      continue;
    }
    constexpr std::string_view kBlocked = "SigBlk:\t";
    const std::size_t at = status.find(kBlocked);
    const auto blocked = std::stoull(status.substr(at + kBlocked.size()), nullptr, 16);
    count += (blocked >> (static_cast<unsigned>(signal) - 1) & 1U) == 0 ? 1 : 0;
  }
  return count;
}

TEST_F(LibvirtTransport, Ssh) {
  if (const std::string why = why_no_ssh_server(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  LibvirtHost host;
  SshServer server;
  host.create();
  host.virsh({"suspend", "web01"});
  const std::string uri = ssh_uri(host, server, server.client());
  std::vector<pid_t> ssh;
  {
    Mount mount{discover({in_quotes(uri)}), Discover::on};
    ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
    EXPECT_THAT(info(mount, "web01")["access"]["ram"].get<std::string>(), HasSubstr("another host's"));
    expect_qemus_bytes(host, mount, "web01", "web01");

    // The network breaks: that is an error, and not for ever.
    const UniqueFd mem = open_mem(mount, "web01");
    server.stop();
    EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 2 * kMiB, 8).error == EIO; })) << mount.log();
    EXPECT_NE(try_write(mount / "web01/control", "resume\n"), 0);
    EXPECT_TRUE(exists(mount / "web01/info"));
    server.start();
    EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 2 * kMiB, 8).bytes.size() == 8; }))
        << mount.log();
    host.virsh({"resume", "web01"});
    EXPECT_TRUE(eventually([&] { return status(mount, "web01", "state") == "running"; }));
    ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
    EXPECT_EQ(host.state_of("web01"), "paused");
    ssh = children_of(mount.daemon().pid(), "ssh");
    EXPECT_EQ(ssh.size(), 1U);
  }
  // Nobody is left paused; by the guardian, if the daemon had no time for it.
  EXPECT_TRUE(eventually([&] { return host.state_of("web01") == "running"; }));
  for (const pid_t pid : ssh) {
    EXPECT_TRUE(eventually([&] { return has_ended(pid); }));
  }
}

/// What ssh has to say about it is what the user gets to read.
TEST_F(LibvirtTransport, SshThatFailsSaysWhy) {
  if (const std::string why = why_no_ssh_server(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  LibvirtHost host;
  SshServer server;
  server.stop();
  const TempDir dir;
  const auto refused = run({VMEMFS_PROGRAM, "-f", "--no-discover", "--vm",
                            domain(in_quotes(ssh_uri(host, server, server.client())), "web01"), dir.path()});
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.text, HasSubstr("port " + std::to_string(server.port()) + ": Connection refused"));
}

/// The main thread gets signals by a descriptor: one that a thread takes is not noticed.
TEST_F(LibvirtTransport, Signals_NoThreadTakesThem) {
  LibvirtHost host;
  DomainOptions bare;
  bare.kernel = false;
  host.create(bare);
  const std::vector<std::string> by_name{"--vm", domain(host.uri(), "web01")};
  for (const auto& args : {by_name, discover({host.uri()})}) {
    Mount mount{args, args == by_name ? Discover::off : Discover::on};
    ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
    const std::string process = fmt::format("/proc/{}", mount.daemon().pid());
    EXPECT_EQ(threads_that_take(SIGINT, process), 0U);
    EXPECT_EQ(threads_that_take(SIGTERM, process), 0U);
  }
}

/// Control and C in a terminal ends ssh as well, which a domain that we have paused needs to run again.
TEST_F(LibvirtTransport, AnInterruptedMountLeavesNoDomainPaused) {
  if (const std::string why = why_no_ssh_server(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  LibvirtHost host;
  SshServer server;
  host.create();
  Mount mount{{"--vm", domain(in_quotes(ssh_uri(host, server, server.client())), "web01")},
              Discover::off,
              RunAs{{"setsid"}, 0}};
  ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  ASSERT_EQ(host.state_of("web01"), "paused");
  ASSERT_EQ(::kill(-mount.daemon().pid(), SIGINT), 0);
  EXPECT_EQ(mount.daemon().wait(20s), 0) << mount.log();
  EXPECT_TRUE(eventually([&] { return host.state_of("web01") == "running"; })) << mount.log();
}

TEST_F(LibvirtTransport, Tls) {
  LibvirtHost host{LibvirtHost::Listen::tls};
  host.create();
  host.virsh({"suspend", "web01"});
  const Mount mount{discover({in_quotes(host.tls_uri())}), Discover::on};
  ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
  expect_qemus_bytes(host, mount, "web01", "web01");
  const UniqueFd mem = open_mem(mount, "web01");
  host.kill_daemon();
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 2 * kMiB, 8).error == EIO; })) << mount.log();
  host.start_daemon();
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 2 * kMiB, 8).bytes.size() == 8; })) << mount.log();
}

} // namespace
} // namespace vmemfs::test
