// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/connection_uri.h"

#include <gtest/gtest.h>

namespace vmemfs::libvirt {
namespace {

TEST(ConnectionUri, WhatIsLocalAndWhatIsNot) {
  for (const char* const text :
       {"qemu:///system", "qemu:///session", "qemu+unix:///system", "qemu+unix:///system?socket=/run/x",
        "xen:///system", "test:///default", "qemu:/system"}) {
    const auto uri = parse_uri(text);
    ASSERT_TRUE(uri) << text;
    EXPECT_TRUE(uri->local()) << text;
  }
  for (const char* const text :
       {"qemu+ssh://host/system", "qemu+ssh://root@host:22/system", "qemu://host/system",
        "qemu+tcp://127.0.0.1:16509/system", "qemu+tcp:///system", "qemu+ext:///system?command=nc",
        "qemu+tcp://[::1]:1/system"}) {
    const auto uri = parse_uri(text);
    ASSERT_TRUE(uri) << text;
    EXPECT_FALSE(uri->local()) << text;
  }
}

TEST(ConnectionUri, ItsParts) {
  const auto uri = parse_uri("qemu+ssh://root@[fe80::1]:2222/session?mode=direct&socket=%2frun%2Fa%20b");
  ASSERT_TRUE(uri);
  EXPECT_EQ(uri->driver, "qemu");
  EXPECT_EQ(uri->transport, "ssh");
  EXPECT_EQ(uri->host, "[fe80::1]");
  EXPECT_EQ(uri->path, "/session");
  EXPECT_EQ(uri->socket, "/run/a b");
}

TEST(ConnectionUri, NobodyIsAskedOnATerminal) {
  EXPECT_EQ(without_prompts("qemu+ssh://a/system"), "qemu+ssh://a/system?no_tty=1");
  EXPECT_EQ(without_prompts("qemu+ssh://a/system?keyfile=/k"), "qemu+ssh://a/system?keyfile=/k&no_tty=1");
  for (const char* const as_it_is :
       {"qemu:///system", "qemu+tcp://a/system", "qemu+ssh://a/system?no_tty=0", "hail", ""}) {
    EXPECT_EQ(without_prompts(as_it_is), as_it_is);
  }
}

TEST(ConnectionUri, AliasesAndNonsenseAreNone) {
  for (const char* const text : {"", "hail", "web 01://x", "://x", "\n:///", "+"}) {
    EXPECT_FALSE(parse_uri(text)) << text;
  }
  EXPECT_TRUE(parse_uri("qemu+://[/?socket=%&socket=%2"));
}

TEST(ConnectionUri, UrisThatRunPrograms_AreKnown) {
  for (const char* const text :
       {"qemu+ext:///system?command=/x", "qemu+EXT:///system", "xen+ext://host",
        "qemu+ssh://a/system?command=x", "qemu+ssh://a/system?x=1&Command=x", "qemu+ssh://a/s?x=1;command=x",
        "qemu+ssh://a/s?%63ommand=x", "qemu+ssh://a/system?netcat=/x", "qemu+libssh://a/system?NETCAT=/x",
        "qemu+ssh://a/s?a?command=x"}) {
    EXPECT_TRUE(runs_command(text)) << text;
  }
  for (const char* const text :
       {"qemu:///system", "qemu+ssh://a/system?keyfile=/command", "qemu+ssh://a/command", "hail", "",
        "qemu+ssh://a/system?no_tty=1&mode=direct", "test:///default"}) {
    EXPECT_FALSE(runs_command(text)) << text;
  }
}

TEST(ConnectionUri, WithoutADriver_IsNone) {
  for (const char* const text : {"", ":", "/system", "+:/?/s", "+ssh://host/system", "://host/system"}) {
    EXPECT_FALSE(parse_uri(text)) << text;
  }
}

} // namespace
} // namespace vmemfs::libvirt
