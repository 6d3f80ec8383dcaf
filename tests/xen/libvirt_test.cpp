// SPDX-License-Identifier: MIT
// Domains that a real libvirt in domain 0 has made, and what its own driver for Xen cannot say of them.
#include "e2e/libvirt/domains.h"
#include "support/child_process.h"
#include "xen/guests/layout.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr const char* kUri = "xen:///system";
constexpr std::uint64_t kPage = 4096;

RunResult virsh(std::vector<std::string> args) {
  args.insert(args.begin(), {"virsh", "-q", "-c", kUri});
  return run(args);
}

class XenLibvirt : public testing::Test {
protected:
  static void SetUpTestSuite() {
    for (const char* const directory :
         {"/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"}) {
      std::filesystem::create_directories(directory);
    }
    if (!exists("/var/run")) {
      std::filesystem::create_directory_symlink("/run", "/var/run");
    }
    daemon_ = std::make_unique<ChildProcess>(
        std::vector<std::string>{"libvirtd", "--pid-file", "/run/libvirtd.pid"}, "/tmp/libvirtd.log");
    if (!eventually([] { return virsh({"version"}).code == 0; }, std::chrono::seconds{60})) {
      throw std::runtime_error{"libvirtd does not start: " + read_file("/tmp/libvirtd.log")};
    }
  }
  static void TearDownTestSuite() { daemon_.reset(); }

  void SetUp() override {
    write_file("/tmp/pvh.xml",
               R"(<domain type='xen'><name>web01</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='xenpvh'>xenpvh</type><kernel>/lab/pvh.elf</kernel></os>
<devices><console type='pty'/></devices></domain>)");
    const RunResult created = virsh({"create", "/tmp/pvh.xml"});
    ASSERT_EQ(created.code, 0) << created.text;
  }
  void TearDown() override { static_cast<void>(virsh({"destroy", "web01"})); }

  static std::string state() {
    const std::string text = virsh({"domstate", "web01"}).text;
    return text.substr(0, text.find('\n'));
  }

  static std::unique_ptr<ChildProcess> daemon_;
};

std::unique_ptr<ChildProcess> XenLibvirt::daemon_;

TEST_F(XenLibvirt, IsOneVmWithXensMemoryAndLibvirtsControl) {
  Mount mount{{}, Discover::on}; // on a Xen host, libvirt's default is kUri
  ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
  const std::string info = read_file(mount / "web01/info");
  EXPECT_THAT(info, HasSubstr("\"driver\": \"libvirt\""));
  EXPECT_THAT(info, HasSubstr("driver xen for memory and state"));
  ::usleep(4'000'000); // longer than one driver waits for the other
  std::size_t directories = 0;
  for (const auto& entry : std::filesystem::directory_iterator{mount.path()}) {
    directories += entry.path().filename().string().starts_with(".") ? 0 : 1;
  }
  EXPECT_EQ(directories, 1U) << "domain 0 is none, and nothing is there twice";
  EXPECT_EQ(read_file(mount / ".vmemfs/control").find("refused"), std::string::npos)
      << read_file(mount / ".vmemfs/control");

  // What the guest has filled.
  const UniqueFd mem{::open((mount / "web01/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto word = [&](std::uint64_t gpa) {
    const auto read = pread_at(mem.get(), gpa, 8);
    std::uint64_t value = 0;
    std::memcpy(&value, read.bytes.data(), read.bytes.size());
    return value;
  };
  ASSERT_TRUE(
      eventually([&] { return word(XG_STATUS + XG_OFF_MAGIC) == XG_READY; }, std::chrono::seconds{60}));
  xg_status filled{};
  const auto page = pread_at(mem.get(), XG_STATUS, kPage);
  std::memcpy(&filled, page.bytes.data(), sizeof(filled));
  ASSERT_GT(filled.range_count, 0U);
  for (std::uint64_t at = filled.ranges[0].start; at < filled.ranges[0].end; at += 16 * kPage) {
    ASSERT_EQ(word(at), tg_pattern(at)) << std::hex << at;
  }

  ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(state(), "paused");
  EXPECT_EQ(status(mount, "web01", "paused_by"), "vmemfs");
  ASSERT_EQ(try_write(mount / "web01/control", "resume\n"), 0) << mount.log();
  EXPECT_EQ(state(), "running");

  // libvirt does not hear of those.
  ASSERT_EQ(run({"xl", "pause", "web01"}).code, 0);
  EXPECT_EQ(status(mount, "web01", "paused_by"), "other") << state();
  ASSERT_EQ(run({"xl", "unpause", "web01"}).code, 0);
  EXPECT_EQ(status(mount, "web01", "state"), "running");
  ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  ASSERT_EQ(run({"xl", "unpause", "web01"}).code, 0); // which libvirt takes for paused
  EXPECT_EQ(status(mount, "web01", "state"), "running");
  ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(status(mount, "web01", "paused_by"), "vmemfs");
  ASSERT_EQ(try_write(mount / "web01/control", "resume\n"), 0) << mount.log();
  EXPECT_EQ(status(mount, "web01", "state"), "running");

  ASSERT_EQ(virsh({"suspend", "web01"}).code, 0);
  EXPECT_EQ(status(mount, "web01", "paused_by"), "other");
  ASSERT_EQ(virsh({"resume", "web01"}).code, 0);
  EXPECT_TRUE(eventually([&] { return status(mount, "web01", "state") == "running"; }));

  ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return state() == "running"; }, std::chrono::seconds{30}));
}

TEST_F(XenLibvirt, MemoryIsReadWhileTheDaemonIsAway) {
  const Mount mount{{"--vm", fmt::format("web01=libvirt:uri={},domain=web01", kUri)}};
  const UniqueFd mem{::open((mount / "web01/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_EQ(pread_at(mem.get(), XG_STATUS, 8).bytes.size(), 8U);
  daemon_->signal(SIGSTOP);
  EXPECT_EQ(pread_at(mem.get(), XG_STATUS, 8).bytes.size(), 8U);
  EXPECT_NE(try_write(mount / "web01/control", "pause\n"), 0);
  daemon_->signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return try_write(mount / "web01/control", "pause\n") == 0; })) << mount.log();
  EXPECT_EQ(state(), "paused");
  virsh({"destroy", "web01"});
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), XG_STATUS, 8).error == ENODEV; }));
}

} // namespace
} // namespace vmemfs::test
