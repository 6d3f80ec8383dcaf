// SPDX-License-Identifier: MIT
// Clients of servers in tables as the kernel writes them, and of real sockets.
#include "drivers/gdbstub/link/server_clients.h"
#include "support/free_port.h"
#include "support/gdb/gdb_client.h"
#include "util/unique_fd.h"

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/socket.h>

namespace vmemfs::gdbstub {
namespace {

constexpr const char* kTitles = "Num       RefCount Protocol Flags    Type St Inode Path\n";

std::string listener(const std::string& path) {
  return "0000000000000000: 00000002 00000000 00010000 0001 01 35041 " + path + "\n";
}
std::string connection(const std::string& path, const std::string& state = "03") {
  return "0000000000000000: 00000003 00000000 00000000 0001 " + state + " 35042 " + path + "\n";
}

TEST(ServerClients, UnixSocket_AcceptedOrWaiting_Counts) {
  const std::string path = "/run/web 01.gdb"; // a blank is part of it
  EXPECT_FALSE(lists_unix_client(kTitles + listener(path), path));
  EXPECT_TRUE(lists_unix_client(kTitles + listener(path) + connection(path), path));
  EXPECT_TRUE(lists_unix_client(kTitles + listener(path) + connection(path, "02"), path));
  EXPECT_FALSE(lists_unix_client(kTitles + listener(path) + connection("/run/other"), path));
  EXPECT_FALSE(lists_unix_client(kTitles + listener(path) + connection(""), path));
  EXPECT_FALSE(lists_unix_client("", path));
}

TEST(ServerClients, UnixSocketOfARelativePath_CountsIfThereIsOne) {
  const std::string one = listener("web01.gdb") + connection("web01.gdb");
  EXPECT_TRUE(lists_unix_client(one, "/home/me/web01.gdb"));
  EXPECT_FALSE(lists_unix_client(one, "/home/me/xweb01.gdb"));
  EXPECT_FALSE(lists_unix_client(one + listener("web01.gdb"), "/home/me/web01.gdb")) << "whose is it?";
  EXPECT_FALSE(lists_unix_client(one + listener("/home/me/web01.gdb"), "/home/me/web01.gdb"));
}

TEST(ServerClients, Tcp_EstablishedConnectionToTheAddress_Counts) {
  const std::string line =
      "   0: 0100007F:04D2 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0\n";
  EXPECT_TRUE(lists_tcp_client(line, parse_address("127.0.0.1:1234").value()));
  EXPECT_FALSE(lists_tcp_client(line, parse_address("127.0.0.1:1235").value()));
  EXPECT_FALSE(lists_tcp_client(line, parse_address("127.0.0.2:1234").value()));
  EXPECT_FALSE(lists_tcp_client("   0: 0100007F:04D2 00000000:0000 0A 00000000:00000000\n",
                                parse_address("127.0.0.1:1234").value()));
  const std::string mapped = "   0: 0000000000000000FFFF00000100007F:04D2 0:0 01 00000000:00000000\n";
  EXPECT_TRUE(lists_tcp_client(mapped, parse_address("127.0.0.1:1234").value()));
  const std::string ipv6 = "   0: 00000000000000000000000001000000:04D2 0:0 01 00000000:00000000\n";
  EXPECT_TRUE(lists_tcp_client(ipv6, parse_address("[::1]:1234").value()));
}

TEST(ServerClients, RealServer_IsBusyWhileItHasAClient) {
  const auto bound = test::bind_to_free_port();
  ASSERT_EQ(::listen(bound.socket.get(), 1), 0);
  const auto address = parse_address("127.0.0.1:" + std::to_string(bound.port)).value();
  const auto now = [] { return std::chrono::steady_clock::now(); };
  EXPECT_TRUE(wait_until_free(address, now()));
  auto client = std::make_unique<test::GdbClient>(bound.port);
  const auto busy = wait_until_free(address, now());
  ASSERT_FALSE(busy) << "it waits to be accepted";
  EXPECT_EQ(busy.error().kind, ErrorKind::busy);
  client.reset();
  UniqueFd{::accept(bound.socket.get(), nullptr, nullptr)}.reset();
  EXPECT_TRUE(wait_until_free(address, now() + std::chrono::seconds{30}));
}

} // namespace
} // namespace vmemfs::gdbstub
