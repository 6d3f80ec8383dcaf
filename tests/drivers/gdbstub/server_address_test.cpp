// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/link/server_address.h"
#include "support/files.h"
#include "support/free_port.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::gdbstub {
namespace {

using Clock = std::chrono::steady_clock;

TEST(ServerAddress, FormsOfTcp) {
  for (const char* const text :
       {"127.0.0.1:1234", "tcp:127.0.0.1:1234", ":1234", "localhost:1234", "tcp::1234"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(*address, (ServerAddress{"127.0.0.1", 1234})) << text;
    EXPECT_FALSE(address->is_unix());
    EXPECT_EQ(to_string(*address), "127.0.0.1:1234");
  }
  const auto ipv6 = parse_address("[2001:db8::1]:3333");
  ASSERT_TRUE(ipv6);
  EXPECT_EQ(to_string(*ipv6), "[2001:db8::1]:3333");
  EXPECT_EQ(parse_address(to_string(*ipv6)), *ipv6);
}

TEST(ServerAddress, FormsOfUnixSockets) {
  for (const char* const text : {"/run/web01.gdb", "unix:/run/web01.gdb"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_TRUE(address->is_unix());
    EXPECT_EQ(to_string(*address), "/run/web01.gdb");
  }
  EXPECT_EQ(to_string(*parse_address("unix:web01.gdb")), "unix:web01.gdb");
}

TEST(ServerAddress, OtherTexts_AreRefusedWithTheForms) {
  const std::string long_path = "/" + std::string(107, 'x');
  for (const std::string& text :
       {std::string{""}, std::string{"web01"}, std::string{"web01:1234"}, long_path,
        std::string{"127.0.0.1:"}, std::string{"127.0.0.1:0"}, std::string{"unix:"},
        std::string{"127.0.0.1:65536"}, std::string{"1.2.3:1"}, std::string{"::x:1"}}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().kind, ErrorKind::invalid);
    EXPECT_THAT(address.error().text, testing::HasSubstr("IP:PORT"));
  }
}

TEST(ServerAddress, NobodyListens_IsNotFound) {
  const test::TempDir dir;
  const auto deadline = Clock::now() + std::chrono::seconds{20};
  for (const ServerAddress& address :
       {ServerAddress{.path = dir / "none"},
        ServerAddress{"127.0.0.1", static_cast<std::uint16_t>(test::free_port())}}) {
    const auto socket = connect_to(address, deadline);
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().kind, ErrorKind::not_found) << socket.error().message();
    EXPECT_THAT(socket.error().text, testing::HasSubstr("no server listens"));
  }
}

} // namespace
} // namespace vmemfs::gdbstub
