// SPDX-License-Identifier: MIT
// `vmemfs list` and `vmemfs check`. They see every QEMU of the host, so these tests run alone.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr uid_t kOrdinary = 61234;

class DiscoveryTools : public testing::Test {
protected:
  static GuestOptions named(const std::string& name) {
    GuestOptions options;
    options.name = name;
    options.extra = {"-uuid", "11111111-2222-4333-8444-555555555555"};
    return options;
  }
  static RunResult vmemfs(const std::vector<std::string>& args, const std::vector<std::string>& before = {}) {
    return run(joined(joined(before, {VMEMFS_PROGRAM}), args));
  }
};

nlohmann::json entry_of(const std::string& text, pid_t pid) {
  const auto list = nlohmann::json::parse(text);
  const auto found =
      std::ranges::find_if(list, [&](const auto& vm) { return vm["number"] == std::to_string(pid); });
  return found == list.end() ? nlohmann::json{} : *found;
}

TEST_F(DiscoveryTools, List_ShowsRunningVms) {
  QemuGuest guest{named("listed")};
  const auto text = vmemfs({"list"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.text, ContainsRegex(fmt::format(
                             "listed +qemu +{} +11111111-2222-4333-8444-555555555555 +yes", guest.pid())));
  const auto entry = entry_of(vmemfs({"list", "--json"}).text, guest.pid());
  EXPECT_EQ(entry["name"], "listed");
  EXPECT_EQ(entry["directory"], "listed");
  EXPECT_EQ(entry["driver"], "qemu");
  EXPECT_EQ(entry["uuid"], "11111111-2222-4333-8444-555555555555");
  EXPECT_EQ(entry["attachable"], true);
  EXPECT_TRUE(entry["reason"].is_null());
  EXPECT_TRUE(guest.running());
}

TEST_F(DiscoveryTools, List_VmOfAnotherUser_HasTheReason) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  QemuGuest guest{named("of\x1b[31m another")};
  const auto text = vmemfs({"list", "--json"}, as_user(kOrdinary));
  EXPECT_EQ(text.code, 0);
  const auto entry = entry_of(text.text, guest.pid());
  EXPECT_EQ(entry["name"], "of\x1b[31m another");
  EXPECT_EQ(entry["attachable"], false);
  EXPECT_TRUE(entry["directory"].is_null());
  EXPECT_THAT(entry["reason"], ContainsRegex("run as the user .*as root.*CAP_SYS_PTRACE"));
  EXPECT_THAT(vmemfs({"list"}, as_user(kOrdinary)).text, Not(HasSubstr("\x1b")));
}

TEST_F(DiscoveryTools, Check_ReportsMonitors) {
  GuestOptions without = named("without");
  without.monitor_for_driver = false; // only the tests' own monitor remains, and it is in use
  QemuGuest in_use{without};
  QemuGuest free{named("free")};
  const auto checked = vmemfs({"check"});
  EXPECT_EQ(checked.code, 0) << checked.text;
  EXPECT_THAT(line_with(checked.text, "/dev/fuse"), testing::StartsWith("yes"));
  EXPECT_THAT(line_with(checked.text, fmt::format("qemu {} (free) memory", free.pid())),
              testing::StartsWith("yes"));
  EXPECT_THAT(line_with(checked.text, fmt::format("qemu {} (free) monitor", free.pid())),
              testing::StartsWith("yes"));
  EXPECT_THAT(line_with(checked.text, fmt::format("qemu {} (without) monitor", in_use.pid())),
              testing::AllOf(testing::StartsWith("no "),
                             HasSubstr("is in use by another client; give QEMU one more")));
  const TempDir dir;
  const ChildProcess bare{
      {"qemu-system-x86_64", "-m", "16M", "-display", "none", "-nodefaults", "-S", "-name", "bare"},
      dir / "log"};
  EXPECT_TRUE(eventually([&] {
    return line_with(vmemfs({"check"}).text, fmt::format("qemu {} (bare) monitor", bare.pid()))
               .find("QEMU was started without a QMP socket; start it with -qmp unix:") != std::string::npos;
  }));
}

TEST_F(DiscoveryTools, Check_OrdinaryUser_ReportsMissingCapabilities) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  QemuGuest guest{named("of root")};
  const auto checked = vmemfs({"check"}, as_user(kOrdinary));
  EXPECT_EQ(checked.code, 1);
  EXPECT_THAT(line_with(checked.text, "VMs of other users"),
              testing::AllOf(testing::StartsWith("no "), HasSubstr("CAP_SYS_PTRACE"), HasSubstr("as root")));
  EXPECT_THAT(line_with(checked.text, fmt::format("qemu {} (of root) memory", guest.pid())),
              testing::AllOf(testing::StartsWith("no "), ContainsRegex("run as the user .*as root")));
  // What is missing, and what is there, are not one list.
  EXPECT_THAT(line_with(checked.text, "needs of qemu"),
              testing::AllOf(testing::StartsWith("no "),
                             ContainsRegex("missing: CAP_[^;]*; run vmemfs as root.*; available: "
                                           "process_vm_readv [^;]*mincore")));
}

TEST_F(DiscoveryTools, Check_CannotMount_ReportsTheReason) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const TempDir dir;
  const auto in_namespace = [](const std::string& script) {
    return run({"unshare", "-m", "sh", "-c", script + " && exec " VMEMFS_PROGRAM " check"});
  };
  const auto no_device = in_namespace(
      "mount --bind /dev/null /dev/fuse"); // can be opened, but is not FUSE: only mounting detects it
  EXPECT_EQ(no_device.code, 0);
  const auto hidden = in_namespace("mount -t tmpfs tmpfs /dev");
  EXPECT_EQ(hidden.code, 1);
  EXPECT_THAT(line_with(hidden.text, "/dev/fuse"), HasSubstr("does not exist; run modprobe fuse"));
  const auto no_helper = run({"env", "PATH=/nonexistent", VMEMFS_PROGRAM, "check"});
  EXPECT_THAT(line_with(no_helper.text, "fusermount3"), HasSubstr("apt-get install fuse3"));
  for (const char* scope : {"1", "3"}) {
    write_file(dir / "scope", std::string{scope} + "\n");
    const auto yama = in_namespace(fmt::format(
        "mkdir -p {0}/yama && mount -t tmpfs tmpfs /proc/sys/kernel && mkdir /proc/sys/kernel/yama && "
        "cp {0}/scope /proc/sys/kernel/yama/ptrace_scope",
        dir.path()));
    const std::string line = line_with(yama.text, "kernel.yama.ptrace_scope");
    if (std::string_view{scope} == "1") {
      EXPECT_THAT(line, testing::StartsWith("yes")) << "root has CAP_SYS_PTRACE";
    } else {
      EXPECT_THAT(line, testing::AllOf(testing::StartsWith("no "), HasSubstr("until the next boot")));
    }
  }
}

/// The command waits for a libvirtd that never answers, so that it can be observed.
TEST_F(DiscoveryTools, ListAndCheck_WhileTheyAsk_HaveTheRightsOfAMount) {
  if (::geteuid() != 0 || vmemfs({"drivers", "libvirt"}).code != 0) {
    GTEST_SKIP() << "needs root and the driver libvirt";
  }
  const TempDir dir;
  const UniqueFd silent{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (dir / "sock").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(silent.get(), 1), 0);
  for (const std::string command : {"list", "check"}) {
    UniqueFd connection; // outlives the process, which would connect again
    pollfd asked{silent.get(), POLLIN, 0};
    const ChildProcess process{
        {"env", "LIBVIRT_DEFAULT_URI=qemu:///system?socket=" + (dir / "sock"), VMEMFS_PROGRAM, command},
        dir / "log"};
    ASSERT_EQ(::poll(&asked, 1, 20000), 1) << command << read_file(dir / "log");
    const std::string status = read_file(fmt::format("/proc/{}/status", process.pid()));
    EXPECT_EQ(line_with(status, "Seccomp:"), "Seccomp:\t2") << command;
    EXPECT_EQ(line_with(status, "NoNewPrivs:"), "NoNewPrivs:\t1") << command;
    const auto kept = std::stoull(line_with(status, "CapEff:").substr(8), nullptr, 16);
    EXPECT_EQ(kept & (1ULL << CAP_SYS_ADMIN | 1ULL << CAP_NET_ADMIN), 0U) << command << kept;
    connection = UniqueFd{::accept4(silent.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  }
}

TEST_F(DiscoveryTools, Check_AbsentDriver_ReportsNotCompiledIn) {
  const auto checked = vmemfs({"check"});
  for (const std::string driver : {"qemu", "dump", "fake", "libvirt", "xen"}) {
    const bool compiled_in = vmemfs({"drivers", driver}).code == 0;
    const std::string line = line_with(checked.text, "driver " + driver + " ");
    EXPECT_EQ(line.find("not compiled in") == std::string::npos, compiled_in) << line;
    EXPECT_THAT(line, ContainsRegex(compiled_in ? "^(yes|no) " : "^no .*build vmemfs with .* installed"));
  }
}

} // namespace
} // namespace vmemfs::test
