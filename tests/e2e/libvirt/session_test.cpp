// SPDX-License-Identifier: MIT
// An ordinary user with the domains of an own libvirt, and no right to anything else.
#include "e2e/libvirt/domains.h"
#include "support/libvirt_session.h"
#include "support/users.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr uid_t kOrdinary = 65534; ///< nobody, as fusermount3 wants a user to have a name

TEST(LibvirtSessions, AUsersOwnDomainsAreFoundWithoutBeingAskedFor) {
  if (const std::string why = why_no_libvirt(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  if (run(joined(as_user(kOrdinary), {"test", "-x", VMEMFS_PROGRAM, "-a", "-r", VMEMFS_TINY_GUEST})).code !=
      0) {
    GTEST_SKIP() << "other users cannot get at " << VMEMFS_PROGRAM;
  }
  allow_mounts_for_all();
  LibvirtSession session{kOrdinary};
  session.create("mine");
  const Mount mount{{}, Discover::on, RunAs{session.user(), kOrdinary}};
  const auto as_them = [&](const std::string& script) {
    return run(joined(session.user(), {"sh", "-c", script}));
  };
  const std::string vm = mount / "mine";
  ASSERT_TRUE(eventually([&] { return as_them("test -e " + vm + "/mem").code == 0; })) << mount.log();
  EXPECT_EQ(json::parse(as_them("cat " + vm + "/info").text)["driver"], "libvirt");

  const auto state = [&] { return session.virsh({"domstate", "mine"}); };
  ASSERT_EQ(as_them("echo pause > " + vm + "/control").code, 0) << mount.log();
  EXPECT_THAT(state(), HasSubstr("paused"));
  ASSERT_EQ(as_them("echo resume > " + vm + "/control").code, 0);
  EXPECT_THAT(state(), HasSubstr("running"));
  session.virsh({"suspend", "mine"});
  EXPECT_TRUE(eventually(
      [&] { return as_them("cat " + vm + "/control").text.find("paused_by other") != std::string::npos; }));

  // As QEMU itself writes it.
  const std::string dump = session.dir() / "dump";
  session.virsh({"qemu-monitor-command", "mine", "--hmp", "pmemsave 0x200000 0x100000 \"" + dump + "\""});
  const auto same = as_them("dd if=" + vm + "/mem bs=1M skip=2 count=1 status=none | cmp - " + dump);
  EXPECT_EQ(same.code, 0) << same.text;

  session.virsh({"destroy", "mine"});
  EXPECT_TRUE(eventually([&] { return as_them("test -e " + vm).code != 0; }));
}

} // namespace
} // namespace vmemfs::test
