// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/default_uri.h"
#include "support/files.h"

#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vmemfs::libvirt {
namespace {

using test::TempDir;
using test::write_file;

TEST(DefaultUri, AsLibvirtReadsItsConfiguration) {
  EXPECT_EQ(uri_default_in("uri_default = \"qemu:///system\"\n"), "qemu:///system");
  EXPECT_EQ(uri_default_in("#uri_default = \"xen:///system\"\n\n  uri_default='qemu+ssh://a/system' # mine"),
            "qemu+ssh://a/system");
  EXPECT_EQ(uri_default_in("uri_aliases = [\n  \"hail=qemu+ssh://hail/system\",\n]\nuri_default=\"hail\""),
            "hail");
  for (const char* const none :
       {"", "uri_default", "uri_default =", "uri_default = \"", "uri_default = qemu:///system",
        "uri_defaults = \"qemu:///system\"", "# uri_default = \"qemu:///system\""}) {
    EXPECT_EQ(uri_default_in(none), "") << none;
  }
}

class DefaultUriOfEnvironment : public testing::Test {
protected:
  static std::string listening() {
    const auto chosen = default_connection();
    return chosen && chosen->listens ? chosen->uri : "";
  }
  // Each test is a process of its own.
  static void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }
};

TEST_F(DefaultUriOfEnvironment, IsTakenWhereItNeedsNoDaemonOrOneListens) {
  const TempDir dir;
  set("LIBVIRT_DEFAULT_URI", "qemu+ssh://alpha/system");
  EXPECT_EQ(chosen_uri(), "qemu+ssh://alpha/system");
  EXPECT_EQ(listening(), "qemu+ssh://alpha/system");
  set("LIBVIRT_DEFAULT_URI", "an alias");
  EXPECT_EQ(listening(), "an alias");
  set("LIBVIRT_DEFAULT_URI", "test:///default");
  EXPECT_EQ(listening(), "test:///default");
  const std::string local = "qemu:///system?socket=" + (dir / "sock");
  set("LIBVIRT_DEFAULT_URI", local);
  EXPECT_FALSE(default_connection()->listens);
  write_file(dir / "sock", "");
  EXPECT_EQ(listening(), local);
}

TEST_F(DefaultUriOfEnvironment, UriWithACommand_IsRefused) {
  for (const char* const uri : {"qemu+ext:///system?command=/x", "qemu+ssh://a/system?netcat=/x"}) {
    set("LIBVIRT_DEFAULT_URI", uri);
    for (const auto& error : {chosen_uri().error(), default_connection().error()}) {
      EXPECT_EQ(error.kind, ErrorKind::not_permitted);
      EXPECT_THAT(error.text, testing::AllOf(testing::HasSubstr("LIBVIRT_DEFAULT_URI"),
                                             testing::HasSubstr("--discover libvirt:uri=")));
    }
  }
}

TEST_F(DefaultUriOfEnvironment, LibvirtConfThatOthersCanWrite_IsRefused) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root's is in /etc";
  }
  const TempDir dir;
  std::filesystem::create_directory(dir / "libvirt");
  set("XDG_CONFIG_HOME", dir.path());
  EXPECT_EQ(chosen_uri(), "") << "none there";
  write_file(dir / "libvirt/libvirt.conf", "uri_default = \"qemu+ext:///system?command=/x\"\n");
  EXPECT_EQ(chosen_uri(), "qemu+ext:///system?command=/x");
  EXPECT_TRUE(aliases_trusted());
  std::filesystem::permissions(dir / "libvirt/libvirt.conf", std::filesystem::perms{0666});
  EXPECT_THAT(chosen_uri().error().text, testing::HasSubstr("run chmod go-w"));
  EXPECT_FALSE(aliases_trusted());
}

TEST_F(DefaultUriOfEnvironment, SaysWhereAUsersOwnDaemonIs) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "libvirt");
  const auto session = parse_uri("qemu:///session");
  ASSERT_TRUE(session);
  set("XDG_RUNTIME_DIR", dir.path());
  EXPECT_EQ(socket_directory(*session), dir / "libvirt");
  set("LIBVIRT_DEFAULT_URI", "qemu:///session");
  EXPECT_FALSE(default_connection()->listens);
  write_file(dir / "libvirt/virtqemud-sock", "");
  EXPECT_EQ(listening(), "qemu:///session");
  // As without a login of systemd's.
  ::unsetenv("XDG_RUNTIME_DIR");
  set("XDG_CACHE_HOME", "/somewhere");
  EXPECT_EQ(socket_directory(*session), "/somewhere/libvirt");
  ::unsetenv("XDG_CACHE_HOME");
  set("HOME", "/home/me");
  EXPECT_EQ(socket_directory(*session), "/home/me/.cache/libvirt");
  ::unsetenv("HOME");
  EXPECT_EQ(socket_directory(*session), "");
}

} // namespace
} // namespace vmemfs::libvirt
