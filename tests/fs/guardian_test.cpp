// SPDX-License-Identifier: MIT
#include "fs/guardian/guardian.h"
#include "fs/guardian/guardian_process.h"
#include "host/process.h"
#include "support/child_process.h"
#include "support/files.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;
using test::children_of;
using test::eventually;
using test::has_ended;

/// A driver without tickets: a guardian with a ticket of this driver gives up immediately.
constexpr std::string_view kDriver = "fake";

std::vector<pid_t> guardians() { return children_of(::getpid(), std::string{kGuardianProcessName}); }

/// The pid of the only guardian, or 0.
pid_t the_guardian() {
  const auto found = guardians();
  return found.size() == 1 ? found.front() : 0;
}

class GuardianTest : public testing::Test {
protected:
  GuardianTest() { EXPECT_THAT(guardians(), testing::IsEmpty()); }
  ~GuardianTest() override {
    EXPECT_TRUE(eventually([] { return guardians().empty(); }));
  }

  FdWatcher watcher_;
};

TEST_F(GuardianTest, StartsWithTheFirstTicketAndEndsWithItsOwner) {
  pid_t pid = 0;
  {
    Guardian guardian{watcher_, VMEMFS_PROGRAM};
    EXPECT_EQ(the_guardian(), 0);
    const auto armed = guardian.arm(1, kDriver, "t");
    ASSERT_TRUE(armed) << armed.error().message();
    pid = the_guardian();
    ASSERT_NE(pid, 0);
    guardian.disarm(1);
    ASSERT_TRUE(guardian.arm(2, kDriver, "t"));
    guardian.disarm(2);
    EXPECT_EQ(the_guardian(), pid);
    EXPECT_EQ(::getsid(pid), pid);
  }
  EXPECT_TRUE(eventually([&] { return has_ended(pid); }));
}

TEST_F(GuardianTest, UselessTicket_EndsWithItsOwner) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  ASSERT_TRUE(guardian.arm(2, "no-such-driver", "t"));
  ASSERT_NE(the_guardian(), 0);
} // the fixture checks that it ends

TEST_F(GuardianTest, Started_KeepsNothingOfItsParent) {
  const test::TempDir dir;
  const UniqueFd file{::open((dir / "file").c_str(), O_RDWR | O_CREAT, 0600)}; // inherited: no O_CLOEXEC
  const UniqueFd high{::fcntl(file.get(), F_DUPFD, 700)};
  ASSERT_TRUE(high);
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  const pid_t pid = the_guardian();
  ASSERT_NE(pid, 0);

  const auto fds = list_fds(pid);
  ASSERT_TRUE(fds);
  std::vector<std::string> targets;
  for (const int fd : *fds) {
    targets.push_back(fd_target(pid, fd).value().substr(0, 8));
  }
  EXPECT_THAT(targets, testing::UnorderedElementsAre("/dev/nul", "/dev/nul", "/dev/nul", "socket:["));
  EXPECT_EQ(std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", pid)), "/");
}

TEST_F(GuardianTest, TerminationSignals_AreIgnored) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  const pid_t pid = the_guardian();
  ASSERT_NE(pid, 0);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) {
    ASSERT_EQ(::kill(pid, signal), 0);
  }
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(the_guardian(), pid);
  const std::string status = test::read_file(fmt::format("/proc/{}/status", pid));
  EXPECT_THAT(status, testing::HasSubstr("SigBlk:\t0000000000000000\n"));
}

TEST_F(GuardianTest, IsReplacedWhenKilledWhileArmed) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  for (int i = 0; i < 3; ++i) {
    const pid_t killed = the_guardian();
    ASSERT_NE(killed, 0);
    ::kill(killed, SIGKILL);
    EXPECT_TRUE(eventually([&] {
      const pid_t pid = the_guardian();
      return pid != 0 && pid != killed;
    }));
  }
  ASSERT_TRUE(guardian.arm(2, kDriver, "t"));
}

TEST_F(GuardianTest, IsReplacedByTheNextArmWhenKilledWithoutTickets) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  guardian.disarm(1);
  const pid_t killed = the_guardian();
  ASSERT_NE(killed, 0);
  ::kill(killed, SIGKILL);
  EXPECT_TRUE(eventually([&] { return has_ended(killed); }));
  EXPECT_EQ(the_guardian(), 0);
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  EXPECT_NE(the_guardian(), 0);
}

TEST_F(GuardianTest, NotReceiving_IsReplaced) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  ASSERT_TRUE(guardian.arm(1, kDriver, "t"));
  const pid_t stopped = the_guardian();
  ASSERT_NE(stopped, 0);
  ::kill(stopped, SIGSTOP);
  const std::string ticket(30000, 't');
  for (int i = 0; i < 20; ++i) { // more than a socket can buffer
    const auto armed = guardian.arm(2, kDriver, ticket);
    ASSERT_TRUE(armed) << armed.error().message();
  }
  EXPECT_TRUE(has_ended(stopped));
  EXPECT_NE(the_guardian(), 0);
}

TEST_F(GuardianTest, CanBeUsedByManyThreads) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  std::vector<std::jthread> threads;
  for (std::uint32_t vm = 0; vm < 4; ++vm) {
    threads.emplace_back([&guardian, vm] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(guardian.arm(vm, kDriver, "t"));
        guardian.disarm(vm);
      }
    });
  }
  for (int i = 0; i < 5; ++i) { // while it is being killed
    std::this_thread::sleep_for(10ms);
    if (const pid_t pid = the_guardian(); pid != 0) {
      ::kill(pid, SIGKILL);
    }
  }
}

TEST_F(GuardianTest, InvalidTicket_IsRefused) {
  Guardian guardian{watcher_, VMEMFS_PROGRAM};
  for (const auto& [driver, ticket] : std::vector<std::pair<std::string, std::string>>{
           {"fake", ""}, {"", "t"}, {"a b", "t"}, {"a\nb", "t"}, {"fake", std::string(40000, 't')}}) {
    const auto armed = guardian.arm(1, driver, ticket);
    ASSERT_FALSE(armed) << driver;
    EXPECT_EQ(armed.error().kind, ErrorKind::invalid);
  }
  EXPECT_EQ(the_guardian(), 0);
}

TEST_F(GuardianTest, CannotStart_ReportsTheReason) {
  for (const auto& [program, reason] : std::vector<std::pair<std::string, std::string>>{
           {"/no/such/program", "No such file"}, {"/bin/false", "ended with exit code 1"}}) {
    Guardian guardian{watcher_, program};
    const auto armed = guardian.arm(1, kDriver, "t");
    ASSERT_FALSE(armed);
    EXPECT_EQ(armed.error().kind, ErrorKind::source_failed);
    EXPECT_THAT(armed.error().text, testing::HasSubstr(reason));
    EXPECT_THAT(armed.error().text, testing::HasSubstr("can be executed"));
    EXPECT_THAT(children_of(::getpid(), "false"), testing::IsEmpty());
  }
}

/// The guardian's side alone; the test has the daemon's end of the socket.
TEST(GuardianProcess, UnknownMessages_AreIgnored) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd ours{ends[0]};
  UniqueFd theirs{ends[1]};
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, theirs.get(), STDIN_FILENO);
  std::string program{VMEMFS_PROGRAM};
  std::string subcommand{Guardian::kSubcommand};
  std::array<char*, 3> arguments{program.data(), subcommand.data(), nullptr};
  pid_t pid = 0;
  ASSERT_EQ(::posix_spawn(&pid, program.c_str(), &files, nullptr, arguments.data(), environ), 0);
  ::posix_spawn_file_actions_destroy(&files);
  theirs.reset();
  for (const std::string& message :
       {std::string{"nonsense"}, std::string{"arm 1"}, std::string(100000, 'x'), std::string{"disarm 9"},
        std::string{"arm 1 fake\nt"}, std::string{"arm 2 fake\nt"}, std::string{"disarm 1"}}) {
    ASSERT_EQ(::send(ours.get(), message.data(), message.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(message.size()));
  }
  pollfd ready{ours.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 30000), 1);
  ours.reset(); // without having read "ready", which gives an error at the other end
  int status = 0;
  ASSERT_TRUE(eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; }));
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(GuardianProcess, StartedByHand_IsRefused) {
  const auto result = test::run({VMEMFS_PROGRAM, std::string{Guardian::kSubcommand}});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.text, testing::HasSubstr("guardian-process is internal"));
  EXPECT_THAT(test::run({VMEMFS_PROGRAM, "--help"}).text, testing::Not(testing::HasSubstr("guardian")));
}

} // namespace
} // namespace vmemfs
