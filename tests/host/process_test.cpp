// SPDX-License-Identifier: MIT
#include "host/process.h"
#include "support/forked_child.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

namespace vmemfs {
namespace {

TEST(Process, OwnProcess_IsDescribed) {
  const auto self = Process::open(::getpid());
  ASSERT_TRUE(self) << self.error().message();
  EXPECT_TRUE(self->alive());
  EXPECT_EQ(self->pid(), ::getpid());
  EXPECT_GT(self->start_time(), 0U);
  EXPECT_NE(exe_path(::getpid()).value().find("host_test"), std::string::npos);
  EXPECT_FALSE(command_line(::getpid()).value().empty());
  EXPECT_EQ(comm(::getpid()).value().find('\n'), std::string::npos);
  EXPECT_NE(std::ranges::count(list_pids(), ::getpid()), 0);
}

TEST(Process, Zombie_HasEnded) {
  ForkedChild child{[] { return ChildValues{}; }};
  const auto process = child.process();
  EXPECT_TRUE(process->alive());
  ::kill(child.pid(), SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(process->alive());
  EXPECT_EQ(Process::open(child.pid()).error().kind, ErrorKind::vm_gone);
  const pid_t pid = child.pid();
  child.kill();
  EXPECT_FALSE(process->alive());
  EXPECT_EQ(Process::open(pid).error().kind, ErrorKind::not_found);
}

TEST(Process, UnknownPid_IsNotFound) {
  for (const pid_t pid : {-1, 0, std::numeric_limits<pid_t>::max()}) {
    EXPECT_EQ(Process::open(pid).error().kind, ErrorKind::not_found) << pid;
  }
}

TEST(Process, Descriptors_AreListedWithTargets) {
  const UniqueFd fd{::memfd_create("a name", MFD_CLOEXEC)};
  const auto fds = list_fds(::getpid());
  ASSERT_TRUE(fds);
  EXPECT_EQ(std::ranges::count(*fds, fd.get()), 1);
  EXPECT_EQ(fd_target(::getpid(), fd.get()).value(), "/memfd:a name (deleted)");
  EXPECT_EQ(fd_target(::getpid(), 1 << 20).error().kind, ErrorKind::not_found);
}

TEST(Process, StartTime_OddProcessName_IsParsed) {
  const std::string fields = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n";
  EXPECT_EQ(parse_start_time("12 (a) b) (" + std::string{")"} + fields).value(), 4711U);
  EXPECT_EQ(parse_start_time("12 (name)" + fields).value(), 4711U);
  for (const char* const text : {"", "12", "12 (name", "12 (name) S 1 2", ")",
                                 "12 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 3"}) {
    EXPECT_EQ(parse_start_time(text).error().kind, ErrorKind::invalid) << text;
  }
}

TEST(Process, ProcFile_AboveLimit_Fails) {
  EXPECT_EQ(read_proc_file("/proc/self/maps", 100).error().kind, ErrorKind::invalid);
  EXPECT_EQ(read_proc_file("/proc/none/such").error().kind, ErrorKind::not_found);
}

} // namespace
} // namespace vmemfs
