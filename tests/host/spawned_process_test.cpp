// SPDX-License-Identifier: MIT
// Programs of the system, observed by what the kernel says of them.
#include "host/child/spawned_process.h"
#include "host/process.h"
#include "support/child_process.h"
#include "support/files.h"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

class SpawnedProcessTest : public testing::Test {
protected:
  /// /bin/sh with this script. It has the three descriptors alone: the null device, and the file `output`.
  std::unique_ptr<SpawnedProcess> run(const std::string& script, bool blocks_signals = false) {
    auto process = SpawnedProcess::start({.path = "/bin/sh",
                                          .arguments = {"sh", "-c", script},
                                          .descriptors = {null_.get(), output_.get(), output_.get()},
                                          .blocks_signals = blocks_signals},
                                         "test");
    EXPECT_TRUE(process) << process.error().message();
    return process ? std::move(*process) : nullptr;
  }
  [[nodiscard]] std::string output() const { return read_file(dir_ / "output"); }

  /// A line of the output that begins with this key, without it.
  [[nodiscard]] std::string line(const std::string& key) const {
    const std::string text = "\n" + output();
    const std::size_t at = text.find("\n" + key + ":\t");
    const std::size_t begin = at + key.size() + 3;
    return at == std::string::npos ? "" : text.substr(begin, text.find('\n', begin) - begin);
  }

  TempDir dir_;
  const UniqueFd null_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const UniqueFd output_{::open((dir_ / "output").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
};

std::vector<std::string> files_of(pid_t pid) {
  std::vector<int> numbers = list_fds(pid).value();
  std::ranges::sort(numbers);
  std::vector<std::string> files;
  for (const int number : numbers) {
    const std::string target = fd_target(pid, number).value();
    files.push_back(fmt::format("{} {}", number, target.substr(target.rfind('/') + 1)));
  }
  return files;
}

TEST_F(SpawnedProcessTest, Descriptors_AreThoseThatWereGiven) {
  const UniqueFd inherited{::open("/dev/zero", O_RDONLY)}; // no O_CLOEXEC
  const UniqueFd high{::fcntl(inherited.get(), F_DUPFD, 700)};
  ASSERT_TRUE(inherited && high);
  const auto process = run("sleep 60");
  EXPECT_THAT(files_of(process->pid()), ElementsAre("0 null", "1 output", "2 output"));
  process->kill();
}

/// Numbers of this process that are numbers of the program too, in another order.
TEST_F(SpawnedProcessTest, DescriptorsInAnyOrder_AreNotMixedUp) {
  const UniqueFd third{::dup(null_.get())};
  const UniqueFd fourth{::dup(output_.get())};
  ASSERT_TRUE(third && fourth);
  std::vector<int> descriptors{fourth.get(), third.get(), output_.get(), output_.get(), null_.get()};
  for (int number = 5; number <= fourth.get(); ++number) {
    descriptors.push_back(number % 2 == 0 ? output_.get() : null_.get());
  }
  const auto process = SpawnedProcess::start(
      {.path = "/bin/sleep", .arguments = {"sleep", "60"}, .descriptors = descriptors}, "test");
  ASSERT_TRUE(process) << process.error().message();
  std::vector<std::string> files = files_of((*process)->pid());
  ASSERT_EQ(files.size(), descriptors.size());
  files.resize(5);
  EXPECT_THAT(files, ElementsAre("0 output", "1 null", "2 output", "3 output", "4 null"));
  (*process)->kill();
}

TEST_F(SpawnedProcessTest, Signals_HaveTheirDefaultAndAreNotBlocked) {
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t before;
  sigset_t usr2;
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &usr2, &before);
  const auto process = run("exec cat /proc/self/status");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::signal(SIGUSR1, SIG_DFL);
  ASSERT_TRUE(process->wait_for_end(60s));
  EXPECT_EQ(line("SigBlk"), "0000000000000000");
  EXPECT_THAT(line("SigIgn"), EndsWith("000000")); // the C library ignores two real-time signals
}

TEST_F(SpawnedProcessTest, BlocksSignals_HasAllBlocked) {
  const auto process = run("exec cat /proc/self/status", true);
  ASSERT_TRUE(process->wait_for_end(60s));
  EXPECT_EQ(line("SigBlk"), "fffffffe7ffbfeff"); // all but SIGKILL, SIGSTOP and two of the C library
}

TEST_F(SpawnedProcessTest, End_IsNoticedAndDescribed) {
  const auto process = run("exit 7");
  EXPECT_TRUE(process->wait_for_end(60s));
  EXPECT_EQ(process->how_it_ended(), "it ended with exit code 7");
  EXPECT_EQ(process->how_it_ended(), "it ended with exit code 7");
}

TEST_F(SpawnedProcessTest, Runs_HasNotEnded) {
  auto process = run("exec sleep 60");
  EXPECT_FALSE(process->wait_for_end(0s));
  EXPECT_EQ(process->how_it_ended(), std::nullopt);
  const pid_t pid = process->pid();
  process.reset();
  EXPECT_FALSE(has_ended(pid));
  ::kill(pid, SIGKILL);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST_F(SpawnedProcessTest, Kill_EndsItsChildrenToo_AndTheEndOfTheObjectReapsIt) {
  auto process = run("sleep 60 & echo $!; wait");
  const pid_t pid = process->pid();
  EXPECT_EQ(::getsid(pid), pid);
  ASSERT_TRUE(eventually([&] { return output().ends_with('\n'); }));
  const pid_t child = std::stoi(output());
  EXPECT_FALSE(has_ended(child));
  process->kill();
  EXPECT_TRUE(process->wait_for_end(60s));
  EXPECT_EQ(process->how_it_ended(), "it was killed by signal 9");
  EXPECT_TRUE(eventually([&] { return has_ended(child); }));
  process.reset();
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);
}

TEST_F(SpawnedProcessTest, ProgramThatIsMissing_IsNamed) {
  const auto process = SpawnedProcess::start({"/no/such/program", {"program"}, {}}, "test");
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().text, HasSubstr("cannot run /no/such/program: No such file"));
}

TEST_F(SpawnedProcessTest, DescriptorThatIsNotOpen_IsRefused) {
  const auto process = SpawnedProcess::start({"/bin/true", {"true"}, {900}}, "test");
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().text, HasSubstr("cannot pass a descriptor"));
}

} // namespace
} // namespace vmemfs::test
