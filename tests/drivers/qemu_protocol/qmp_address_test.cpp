// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/qmp_address.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(QmpAddress, Forms_AreTheirsAlone) {
  for (const char* path : {"/run/web01.qmp", "web01", "./abstract:x", "./tcp:127.0.0.1:1"}) {
    EXPECT_TRUE(is_path_address(path)) << path;
    EXPECT_EQ(path_address(path), path);
    EXPECT_FALSE(abstract_name_of(path)) << path;
    EXPECT_FALSE(tcp_end_of(path)) << path;
  }
  for (const char* path : {"abstract:x", "abstract,tight=off:x", "tcp:127.0.0.1:1"}) {
    EXPECT_FALSE(is_path_address(path)) << path;
    EXPECT_EQ(path_address(path), std::string{"./"} + path) << "a file of that name";
  }
}

TEST(QmpAddress, AbstractName_ReadsBack) {
  for (const bool padded : {false, true}) {
    for (const char* name : {"x", "abstract,tight=off:x", "a\nb", "@"}) {
      const auto parsed = abstract_name_of(abstract_address({name, padded}));
      ASSERT_TRUE(parsed);
      EXPECT_EQ(parsed->name, name);
      EXPECT_EQ(parsed->padded, padded);
    }
  }
}

TEST(QmpAddress, TcpEnd_ReadsBack) {
  for (const std::string text : {"tcp:127.0.0.1:4444", "tcp:[::1]:65535", "tcp:192.0.2.1:1"}) {
    const auto end = tcp_end_of(text);
    ASSERT_TRUE(end) << text;
    EXPECT_EQ(tcp_address(*end), text);
  }
  EXPECT_EQ(tcp_end_of("tcp:[::ffff:127.0.0.1]:80"), tcp_end_of("tcp:127.0.0.1:80"));
}

TEST(QmpAddress, MalformedTcp_IsNone) {
  for (const char* text : {"tcp:", "tcp::", "tcp:127.0.0.1", "tcp:127.0.0.1:", "tcp:127.0.0.1:0",
                           "tcp:127.0.0.1:65536", "tcp:localhost:80", "tcp:[]:80", "tcp:[:80", "tcp:1:80"}) {
    EXPECT_FALSE(tcp_end_of(text)) << text;
  }
}

TEST(QmpAddress, Loopback) {
  for (const char* text : {"tcp:127.0.0.1:80", "tcp:127.9.9.9:80", "tcp:[::1]:80"}) {
    EXPECT_TRUE(is_loopback(*tcp_end_of(text))) << text;
  }
  for (const char* text : {"tcp:128.0.0.1:80", "tcp:0.0.0.0:80", "tcp:[::]:80", "tcp:[7f00::1]:80"}) {
    EXPECT_FALSE(is_loopback(*tcp_end_of(text))) << text;
  }
}

TEST(QmpAddress, AbsoluteAddress_ChangesRelativePathsOnly) {
  EXPECT_EQ(absolute_address("x"), std::filesystem::current_path() / "x");
  for (const char* address : {"/x", "abstract:x", "abstract,tight=off:x", "tcp:127.0.0.1:80"}) {
    EXPECT_EQ(absolute_address(address), address);
  }
}

TEST(ConnectToMonitor, OtherHost_IsNeverConnectedTo) {
  for (const char* address : {"tcp:192.0.2.1:80", "tcp:[2001:db8::1]:80", "tcp:0.0.0.0:80", "tcp:x:80"}) {
    const auto socket = connect_to_monitor(address, std::chrono::steady_clock::now());
    ASSERT_FALSE(socket) << address;
    EXPECT_EQ(socket.error().kind, ErrorKind::invalid) << socket.error().message();
  }
}

TEST(ConnectToMonitor, NobodyListens_IsNotFound) {
  for (const char* address : {"abstract:vmemfs-test-nobody", "/nonexistent/vmemfs-test", "tcp:127.0.0.1:1"}) {
    const auto socket =
        connect_to_monitor(address, std::chrono::steady_clock::now() + std::chrono::seconds{5});
    ASSERT_FALSE(socket) << address;
    EXPECT_EQ(socket.error().kind, ErrorKind::not_found) << socket.error().message();
    EXPECT_THAT(socket.error().text, testing::HasSubstr(address));
  }
}

} // namespace
} // namespace vmemfs
