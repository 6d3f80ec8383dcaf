// SPDX-License-Identifier: MIT
// The privileges that are sufficient, and the messages if they are not. With real users and real QEMUs; needs
// root to become these users.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <map>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr uid_t kOrdinary = 65534; ///< nobody: fusermount3 requires a user with a name
constexpr uid_t kVmsUser = 12345;
constexpr uid_t kServiceUser = 23456;
constexpr uid_t kStranger = 34567;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kPage = 4096;

/// The requirements of these tests on the host.
class RightsTest : public testing::Test {
protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "becoming other users takes root";
    }
    if (run(joined(as_user(kVmsUser), {"test", "-x", VMEMFS_PROGRAM, "-a", "-r", VMEMFS_TINY_GUEST})).code !=
        0) {
      GTEST_SKIP() << "other users cannot get at " << VMEMFS_PROGRAM;
    }
  }
};

/// QEMU's RAM, private or a file that QEMU has mapped.
GuestOptions guest_of(std::optional<uid_t> user, bool shared = false) {
  GuestOptions options;
  options.user = user;
  if (shared) {
    options.machine = "pc,memory-backend=m0";
    options.extra = {"-object", "memory-backend-memfd,id=m0,size=64M,share=on"};
  }
  return options;
}

/// A field of /proc/PID/status.
std::string status_of(pid_t pid, const std::string& field, const std::string& task = "") {
  std::ifstream file{fmt::format("/proc/{}/{}status", pid, task.empty() ? "" : "task/" + task + "/")};
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":\t")) {
      return line.substr(field.size() + 2);
    }
  }
  return "none";
}

/// The capabilities in a line of packaging/vmemfs.service, by name.
std::vector<std::string> of_the_unit(const std::string& setting) {
  std::ifstream file{VMEMFS_SOURCE_DIR "/packaging/vmemfs.service"};
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(setting + "=")) {
      std::istringstream stream{line.substr(setting.size() + 1)};
      return {std::istream_iterator<std::string>{stream}, {}};
    }
  }
  return {};
}

/// The unit's capabilities, without the one for mounting, as in /proc/PID/status.
std::string needed_mask() {
  const std::map<std::string, unsigned> known{{"CAP_SYS_PTRACE", CAP_SYS_PTRACE},
                                              {"CAP_DAC_OVERRIDE", CAP_DAC_OVERRIDE},
                                              {"CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE}};
  std::uint64_t mask = 0;
  for (const std::string& name : of_the_unit("AmbientCapabilities")) {
    mask |= name == "CAP_SYS_ADMIN" ? 0 : std::uint64_t{1} << known.at(name);
  }
  return fmt::format("{:016x}", mask);
}

std::string mask_of(std::initializer_list<unsigned> capabilities) {
  std::uint64_t mask = 0;
  for (const unsigned capability : capabilities) {
    mask |= std::uint64_t{1} << capability;
  }
  return fmt::format("{:016x}", mask);
}

/// A user with only the capabilities that the unit gives.
std::vector<std::string> as_service() {
  std::string list{"-all"};
  for (std::string name : of_the_unit("AmbientCapabilities")) {
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    list += ",+" + name.substr(std::string_view{"cap_"}.size());
  }
  return joined(as_user(kServiceUser),
                {"--no-new-privs", "--bounding-set=" + list, "--inh-caps=" + list, "--ambient-caps=" + list});
}

/// Every thread has its own privileges.
void expect_in_all_threads(pid_t pid, const std::string& field, const std::string& value) {
  for (const auto& task : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", pid)}) {
    if (const std::string now = status_of(pid, field, task.path().filename());
        now != "none") { // it has ended
      EXPECT_EQ(now, value) << field;
    }
  }
}

/// All operations on a VM, through a mount that is accessible.
void expect_all_works(const Mount& mount, QemuGuest& guest) {
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(mem) << errno;
  EXPECT_EQ(pread_at(mem.get(), 16 * kMiB, kPage).bytes, guest.pmemsave(16 * kMiB, kPage));
  EXPECT_THAT(read_file(mount / "vm/vcpus/0/regs"), HasSubstr("rip 0x"));
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(guest.running());
  const std::string text = "written from outside";
  EXPECT_EQ(::pwrite(mem.get(), text.data(), text.size(), 20 * kMiB), static_cast<ssize_t>(text.size()))
      << mount.log();
  const auto written = guest.pmemsave(20 * kMiB, kPage);
  EXPECT_EQ(std::memcmp(written.data(), text.data(), text.size()), 0);
  EXPECT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(guest.running());
}

/// Kills the daemon after a pause: the guest runs and the mount is gone.
void expect_no_trace_of_a_killed_daemon(Mount& mount, QemuGuest& guest) {
  ASSERT_FALSE(guest.running());
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return guest.running(); }, seconds{20}));
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, seconds{20}));
}

// A user with a VM of their own.

class OrdinaryUser : public RightsTest {
protected:
  void SetUp() override {
    RightsTest::SetUp();
    if (!IsSkipped()) {
      allow_mounts_for_all();
    }
  }

  static RunResult as_them(const std::string& script) {
    return run(joined(as_user(kOrdinary), {"sh", "-c", script}));
  }
  static RunAs them() { return {as_user(kOrdinary), kOrdinary}; }
};

TEST_F(OrdinaryUser, OwnVm_AllOperationsWork) {
  QemuGuest guest{guest_of(kOrdinary)};
  Mount mount{
      {"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}, Discover::off, them()};
  const pid_t mounter = mount.mounter();
  const std::string copy = guest.dir() / "copy";
  // Not even root has access to the mount, so all is done as that user.
  ASSERT_EQ(as_them(fmt::format("dd if={}/vm/mem of={} bs=4096 skip=4096 count=1", mount.path(), copy)).code,
            0);
  const auto truth = guest.pmemsave(16 * kMiB, kPage);
  EXPECT_EQ(std::memcmp(read_file(copy).data(), truth.data(), kPage), 0);
  EXPECT_THAT(as_them("cat " + mount / "vm/vcpus/0/regs").text, HasSubstr("rip 0x"));
  EXPECT_EQ(as_them("echo pause > " + mount / "vm/control").code, 0);
  EXPECT_FALSE(guest.running());
  EXPECT_EQ(as_them(fmt::format("printf outside | dd of={}/vm/mem bs=1 seek={} conv=notrunc", mount.path(),
                                20 * kMiB))
                .code,
            0)
      << mount.log();
  EXPECT_EQ(std::memcmp(guest.pmemsave(20 * kMiB, kPage).data(), "outside", 7), 0);
  EXPECT_EQ(as_them("echo resume > " + mount / "vm/control").code, 0);
  EXPECT_TRUE(guest.running());
  EXPECT_EQ(status_of(mount.daemon().pid(), "CapPrm"), mask_of({}));
  EXPECT_EQ(status_of(mount.daemon().pid(), "NoNewPrivs"), "1");
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_TRUE(has_ended(mounter));
  EXPECT_THAT(mount.log(), testing::Not(HasSubstr("warning")));
}

TEST_F(OrdinaryUser, Signal_EndsAndLeavesNothing) {
  Mount mount{{"--vm", "vm=fake"}, Discover::off, them()};
  mount.daemon().signal(SIGTERM);
  EXPECT_EQ(mount.daemon().wait(seconds{10}), 0);
  EXPECT_TRUE(is_plain_directory(mount.path()));
}

TEST_F(OrdinaryUser, Killed_LeavesNothing) {
  QemuGuest guest{guest_of(kOrdinary)};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}, Discover::off, them()};
  ASSERT_EQ(as_them("echo pause > " + mount / "vm/control").code, 0);
  expect_no_trace_of_a_killed_daemon(mount, guest);
}

TEST_F(OrdinaryUser, VmOfAnotherUser_ErrorNamesTheRemedy) {
  QemuGuest guest{guest_of(std::nullopt)};
  const TempDir dir;
  const std::string mountpoint = dir / "mnt";
  std::filesystem::create_directory(mountpoint);
  give(dir.path(), kOrdinary);
  give(mountpoint, kOrdinary);
  for (const std::string& parameter : {fmt::format("pid={}", guest.pid()), "qmp=" + guest.driver_socket()}) {
    const auto refused = run(joined(as_user(kOrdinary), {VMEMFS_PROGRAM, "-f", "--no-discover", "--vm",
                                                         "vm=qemu:" + parameter, mountpoint}));
    EXPECT_EQ(refused.code, 1);
    EXPECT_THAT(refused.text, testing::ContainsRegex("run (vmemfs )?as the user")) << parameter;
    EXPECT_THAT(refused.text, testing::ContainsRegex("as root.*CAP_"));
    EXPECT_FALSE(is_mountpoint(mountpoint));
  }
}

// Root, and a service with the unit's capabilities.

class Privileged : public RightsTest, public testing::WithParamInterface<bool> {};

TEST_P(Privileged, Root_KeepsOnlyTheNeededCapabilities) {
  QemuGuest guest{guest_of(kVmsUser, GetParam())};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  expect_all_works(mount, guest);
  const pid_t daemon = mount.daemon().pid();
  for (const char* field : {"CapEff", "CapPrm", "CapBnd"}) {
    expect_in_all_threads(daemon, field, needed_mask());
  }
  for (const char* field : {"CapInh", "CapAmb"}) {
    expect_in_all_threads(daemon, field, mask_of({}));
  }
  expect_in_all_threads(daemon, "NoNewPrivs", "1");
  expect_in_all_threads(daemon, "Seccomp", "2");
  EXPECT_EQ(status_of(mount.mounter(), "CapEff"), mask_of({CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH}));
  EXPECT_THAT(mount.log(), HasSubstr("runs with capabilities sys_ptrace, dac_override"));
  EXPECT_EQ(mount.unmount(), 0);
}

TEST_P(Privileged, Service_ReadsTheVmOfAnotherUser) {
  QemuGuest guest{guest_of(kVmsUser, GetParam())};
  Mount mount{
      {"--writable", "-o", "allow_other", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())},
      Discover::off,
      RunAs{as_service(), kServiceUser}};
  expect_all_works(mount, guest);
  const pid_t daemon = mount.daemon().pid();
  for (const char* field : {"CapEff", "CapPrm", "CapInh", "CapAmb"}) {
    expect_in_all_threads(daemon, field, needed_mask());
  }
  expect_in_all_threads(daemon, "NoNewPrivs", "1");
  expect_in_all_threads(daemon, "Seccomp", "2");
  EXPECT_EQ(status_of(mount.mounter(), "CapEff"), mask_of({CAP_SYS_ADMIN}));
  EXPECT_THAT(mount.log(), testing::Not(HasSubstr("warning")));
  mount.daemon().signal(SIGTERM);
  EXPECT_EQ(mount.daemon().wait(seconds{10}), 0);
  EXPECT_TRUE(is_plain_directory(mount.path()));
}

TEST_P(Privileged, Killed_LeavesNothing) {
  QemuGuest guest{guest_of(kVmsUser)};
  const std::vector<std::string> vm{"-o", "allow_other", "--vm",
                                    fmt::format("vm=qemu:qmp={}", guest.driver_socket())};
  Mount mount{vm, Discover::off,
              GetParam() ? std::optional{RunAs{as_service(), kServiceUser}} : std::nullopt};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  expect_no_trace_of_a_killed_daemon(mount, guest);
}

INSTANTIATE_TEST_SUITE_P(Memory, Privileged, testing::Bool(),
                         [](const auto& subject) { return subject.param ? "shared" : "private"; });

TEST(Unit, BoundingSetEqualsAmbientSet) {
  EXPECT_FALSE(of_the_unit("AmbientCapabilities").empty());
  EXPECT_EQ(of_the_unit("AmbientCapabilities"), of_the_unit("CapabilityBoundingSet"));
}

// Owner and mode of a VM's files.

class FilesOfAVm : public RightsTest {
protected:
  void start(const char* mode) {
    mountpoint_ = dir_ / "mnt";
    std::filesystem::create_directory(mountpoint_);
    ::chmod(dir_.path().c_str(), 0755);
    daemon_ = std::make_unique<ChildProcess>(
        std::vector<std::string>{
            VMEMFS_PROGRAM, "-f", "--no-discover", "-o", "allow_other", "--writable", "--vm",
            fmt::format("vm=fake:size=1M,owner={},group={},mode={}", kVmsUser, kServiceUser, mode),
            mountpoint_},
        dir_ / "log");
    ASSERT_TRUE(eventually([&] { return exists(mountpoint_ + "/vm/mem"); })) << read_file(dir_ / "log");
  }
  void TearDown() override {
    if (daemon_ != nullptr) {
      daemon_->signal(SIGTERM);
      EXPECT_EQ(daemon_->wait(seconds{10}), 0) << read_file(dir_ / "log");
    }
  }
  [[nodiscard]] bool can(uid_t user, const std::string& script) const {
    return run(joined(as_user(user), {"sh", "-c", "cd " + mountpoint_ + " && " + script})).code == 0;
  }

  TempDir dir_;
  std::string mountpoint_;
  std::unique_ptr<ChildProcess> daemon_;
};

constexpr const char* kRead = "head -c 16 vm/mem > /dev/null";
constexpr const char* kWrite = "printf x | dd of=vm/mem bs=1 seek=4096 conv=notrunc";

TEST_F(FilesOfAVm, Mode_AppliesToOwnerAndGroup) {
  start("0640");
  EXPECT_TRUE(can(kVmsUser, kRead));
  EXPECT_TRUE(can(kVmsUser, kWrite));
  EXPECT_TRUE(can(kVmsUser, "echo status > vm/control"));
  EXPECT_TRUE(can(kServiceUser, kRead)); // by its group
  EXPECT_TRUE(can(kServiceUser, "ls vm/vcpus/0 && cat vm/vcpus/0/regs"));
  EXPECT_FALSE(can(kServiceUser, kWrite));
  EXPECT_FALSE(can(kServiceUser, "echo status > vm/control"));
  EXPECT_TRUE(can(kStranger, "ls"));
  EXPECT_FALSE(can(kStranger, "ls vm"));
  EXPECT_FALSE(can(kStranger, kRead));
  for (const uid_t user : {kVmsUser, kServiceUser, kStranger}) {
    EXPECT_FALSE(can(user, "ls .vmemfs"));
  }
}

TEST_F(FilesOfAVm, Mode_MayAllowEveryUser) {
  start("0666");
  EXPECT_TRUE(can(kStranger, kRead));
  EXPECT_TRUE(can(kStranger, kWrite));
  EXPECT_FALSE(can(kStranger, "printf x >> vm/maps"));
}

} // namespace
} // namespace vmemfs::test
