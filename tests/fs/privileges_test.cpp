// SPDX-License-Identifier: MIT
#include "fs/privileges/capabilities.h"
#include "fs/privileges/privileges.h"

#include <cerrno>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmemfs {
namespace {

/// The exit code of a child process that runs `what`, so that the other tests keep their privileges.
int in_child(const std::function<int()>& what) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::_exit(what());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int errno_of(long result) { return result < 0 ? errno : 0; }

/// The errno of `call` after privileges are given up.
int refusal(const std::function<long()>& call, const Needs& needs = {}) {
  return in_child([&] {
    const PrivilegeReport report = give_up_privileges(needs);
    return report.problems.empty() ? errno_of(call()) : 200;
  });
}

TEST(Privileges, GivenUpOperations_Fail) {
  EXPECT_EQ(refusal([] { return ::mount("none", "/proc/self", "tmpfs", 0, nullptr); }), EPERM);
  EXPECT_EQ(refusal([] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }), EPERM);
  EXPECT_EQ(refusal([] { return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(refusal([] { return ::syscall(SYS_clone3, nullptr, 0); }), ENOSYS);
  EXPECT_EQ(refusal([] { return ::syscall(SYS_setresuid, ::getuid(), ::getuid(), ::getuid()); }), EPERM);
  EXPECT_EQ(refusal([] { return ::syscall(SYS_process_vm_writev, ::getpid(), nullptr, 0, nullptr, 0, 0); }),
            EPERM);
  for (const int family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET}) {
    EXPECT_EQ(refusal([&] { return ::socket(family, SOCK_DGRAM, 0); }), EAFNOSUPPORT);
  }
}

TEST(Privileges, NeededOperations_Work) {
  EXPECT_EQ(refusal([] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }), 0);
  EXPECT_EQ(refusal([] { return ::fork() == 0 ? (::_exit(0), 0) : 0; }), 0);
  EXPECT_EQ(refusal([] {
              std::string program{"/bin/true"};
              char* arguments[] = {program.data(), nullptr};
              pid_t pid = 0;
              int status = 0;
              errno = ::posix_spawn(&pid, program.c_str(), nullptr, nullptr, arguments, nullptr);
              return errno == 0 && ::waitpid(pid, &status, 0) == pid && status == 0 ? 0L : -1L;
            }),
            0);
}

TEST(Privileges, DeclaredNeeds_Work) {
  const auto compare = [] { return ::syscall(SYS_kcmp, ::getpid(), ::getpid(), 0, 0, 0); };
  EXPECT_EQ(refusal(compare), EPERM);
  EXPECT_EQ(refusal(compare, {.system_calls = {{"kcmp", "test"}}}), 0);
  const auto bpf_command = [](long command) {
    return [command] { return ::syscall(SYS_bpf, command, nullptr, 0); };
  };
  const Needs some_of_bpf{.system_calls = {{"bpf", "test", {28, 33}}}};
  for (const long command : {28, 33}) {
    EXPECT_NE(refusal(bpf_command(command)), refusal(bpf_command(command), some_of_bpf)) << command;
  }
  for (const long command : {0, 5, 27, 29, 32, 34, 1000}) {
    EXPECT_EQ(refusal(bpf_command(command), some_of_bpf), EPERM) << command;
  }
  const Needs all_of_bpf{.system_calls = {{"bpf", "test"}}};
  const Needs far_apart{.system_calls = {{"bpf", "test", {7, 17, 0x4206}}}};
  for (const long command : {0, 6, 8, 16, 18, 0x1000, 0x4205, 0x4207, 0x8000, 0x7fffffff, -1}) {
    EXPECT_EQ(refusal(bpf_command(command), far_apart), EPERM) << command;
  }
  for (const long command : {7, 17, 0x4206}) {
    EXPECT_EQ(refusal(bpf_command(command), far_apart), refusal(bpf_command(command), all_of_bpf)) << command;
  }
  const auto connect = [] { return ::socket(AF_INET, SOCK_DGRAM, 0); };
  EXPECT_EQ(refusal(connect, {.network = true}), 0);
}

TEST(Privileges, Capabilities_AreKeptAsDeclared) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const auto kept = [](int capability, const Needs& needs) {
    return in_child([&] {
      static_cast<void>(give_up_privileges(needs));
      return may(capability) ? 1 : 0;
    });
  };
  const Needs needs{.capabilities = {{CAP_SYS_PTRACE, "test"}, {CAP_SETPCAP, "test", true}}};
  EXPECT_EQ(kept(CAP_SYS_PTRACE, needs), 1);
  EXPECT_EQ(kept(CAP_SETPCAP, needs), 0);
  EXPECT_EQ(kept(CAP_DAC_OVERRIDE, needs), 0);
  EXPECT_EQ(kept(CAP_SYS_PTRACE, {}), 0);
  Needs with_network = needs;
  with_network.network = true;
  EXPECT_EQ(kept(CAP_SETPCAP, with_network), 1);
}

TEST(Privileges, TracersAndCoreDumps_AreDenied) {
  EXPECT_EQ(in_child([] {
              static_cast<void>(give_up_privileges());
              rlimit core{};
              ::getrlimit(RLIMIT_CORE, &core);
              return core.rlim_max == 0 && ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                             ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
                         ? 0
                         : 1;
            }),
            0);
}

TEST(Privileges, OpenFilesLimit_IsRaisedToTheMaximum) {
  EXPECT_EQ(in_child([] {
              rlimit files{};
              ::getrlimit(RLIMIT_NOFILE, &files);
              files.rlim_cur = 64;
              ::setrlimit(RLIMIT_NOFILE, &files);
              static_cast<void>(give_up_privileges());
              ::getrlimit(RLIMIT_NOFILE, &files);
              return files.rlim_cur == files.rlim_max && files.rlim_cur > 64 ? 0 : 1;
            }),
            0);
}

TEST(Privileges, Report_NamesWhatIsKept) {
  EXPECT_EQ(in_child([] {
              const PrivilegeReport report = give_up_privileges();
              return report.summary.starts_with("runs with ") &&
                             report.summary.ends_with(" system calls refused")
                         ? 0
                         : 1;
            }),
            0);
}

TEST(Capabilities, AreNeverGained) {
  EXPECT_EQ(in_child([] {
              constexpr int kOne[] = {CAP_SYS_PTRACE};
              constexpr int kTwo[] = {CAP_SYS_PTRACE, CAP_SYS_ADMIN};
              if (!keep_capabilities(kOne) || !keep_capabilities(kTwo)) {
                return 1;
              }
              return may(CAP_SYS_ADMIN) ? 2 : may(CAP_SYS_PTRACE) != (::geteuid() == 0) ? 3 : 0;
            }),
            0);
}

} // namespace
} // namespace vmemfs
