// Domains of a real libvirtd, seen through the mount of the real daemon. virsh is what users use beside it.
#include "support/libvirt_host.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;

class Libvirt : public testing::Test {
protected:
  void SetUp() override {
    if (const std::string why = why_no_libvirt(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

json info(const Mount& mount, const std::string& vm) { return json::parse(read_file(mount / (vm + "/info"))); }

std::string status(const Mount& mount, const std::string& vm) { return read_file(mount / (vm + "/control")); }

/// The option that mounts this domain.
std::string domain(const LibvirtHost& host, const std::string& name, const std::string& more = "") {
  return fmt::format("{}=libvirt:uri={},domain={}{}", name, host.uri(), name, more);
}

TEST_F(Libvirt, ALocalDomainsMemoryStateAndControl) {
  LibvirtHost host;
  host.create();
  const Mount mount{{"--vm", domain(host, "web01")}};
  EXPECT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(host.state_of("web01"), "paused");
  EXPECT_THAT(status(mount, "web01"), HasSubstr("state paused\npaused_by vmemfs\n"));
  EXPECT_EQ(try_write(mount / "web01/control", "resume\n"), 0);
  EXPECT_EQ(host.state_of("web01"), "running");
}

} // namespace
} // namespace vmemfs::test
