// SPDX-License-Identifier: MIT
#include "host/process_space.h"
#include "support/files.h"
#include "vmm/program_witness.h"
#include "vmm/thread_list.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmemfs {
namespace {

/// The thread of a process that executes a program.
enum class By : unsigned char { first, second, third };

/// A process with three threads. On command the third ends, or one of them executes a program while another
/// process keeps the memory, as after vfork(): that the memory is still there says nothing then.
class ThreadedChild {
public:
  explicit ThreadedChild(By by) {
    std::array<int, 2> to_child{};
    std::array<int, 2> to_test{};
    std::array<int, 2> life{};
    if (::pipe2(to_child.data(), O_CLOEXEC) != 0 || ::pipe2(to_test.data(), O_CLOEXEC) != 0 ||
        ::pipe2(life.data(), O_CLOEXEC) != 0) {
      std::abort();
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(life[1]);
      from_test = to_child[0];
      test_lives = life[0];
      run(by, to_test[1]);
    }
    ::close(to_child[0]);
    ::close(to_test[1]);
    ::close(life[0]);
    life_ = UniqueFd{life[1]};
    write_ = UniqueFd{to_child[1]};
    read_ = UniqueFd{to_test[0]};
    char byte = 0;
    if (::read(read_.get(), &byte, 1) != 1) {
      std::abort();
    }
  }
  ThreadedChild(const ThreadedChild&) = delete;
  ThreadedChild& operator=(const ThreadedChild&) = delete;
  ~ThreadedChild() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// Returns when the program is executed.
  void execute() {
    char byte = 'x';
    if (::write(write_.get(), &byte, 1) != 1 || ::read(read_.get(), &byte, 1) != 0) {
      std::abort();
    }
  }

  /// Of its second thread.
  void end_thread() const {
    const char byte = 'e';
    EXPECT_EQ(::write(write_.get(), &byte, 1), 1);
    EXPECT_TRUE(test::eventually([&] { return ThreadList{pid_}.read(9).size() == 2; }));
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::shared_ptr<const ProcessSpace> space() const {
    return ProcessSpace::open(std::make_shared<const Process>(Process::open(pid_).value())).value();
  }

private:
  static inline int from_test = -1;  ///< in the child
  static inline int test_lives = -1; ///< the same: at its end when the test ends

  static int keep_memory(void* to_test) {
    ::close(*static_cast<int*>(to_test)); // an own table of descriptors
    char ignored = 0;
    ::_exit(::read(test_lives, &ignored, 1) == 0 ? 0 : 1);
  }

  /// Ends the thread, or executes a program.
  static void* obey(void* /*unused*/) {
    char command = 0;
    if (::read(from_test, &command, 1) == 1 && command == 'x') {
      ::execlp("sleep", "sleep", "1000", nullptr);
    }
    return nullptr;
  }

  static void* wait_forever(void* /*unused*/) {
    for (;;) {
      ::pause();
    }
  }

  [[noreturn]] static void run(By by, int to_test) {
    constexpr std::size_t kStack = 64 << 10;
    auto* const stack = static_cast<char*>(
        ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::clone(keep_memory, stack + kStack, CLONE_VM | SIGCHLD, &to_test);
    for (const By thread : {By::second, By::third}) {
      pthread_t created{};
      if (::pthread_create(&created, nullptr, by == thread ? obey : wait_forever, nullptr) != 0) {
        ::_exit(2);
      }
    }
    static_cast<void>(::write(to_test, "r", 1));
    if (by == By::first) {
      obey(nullptr);
    }
    wait_forever(nullptr);
    ::_exit(1);
  }

  pid_t pid_ = 0;
  UniqueFd life_;
  UniqueFd write_;
  UniqueFd read_;
};

#ifndef __SANITIZE_THREAD__ // which cannot start threads after fork()

class ProgramWitnessTest : public testing::TestWithParam<By> {};

std::string name_of(const testing::TestParamInfo<By>& by) {
  switch (by.param) {
  case By::first: return "First";
  case By::second: return "Second";
  case By::third: return "Third";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(Threads, ProgramWitnessTest, testing::Values(By::first, By::second, By::third),
                         name_of);

TEST_P(ProgramWitnessTest, AnotherProgram_MemoryKeptByAnotherProcess_IsNoticed) {
  ThreadedChild child{GetParam()};
  const auto space = child.space();
  ProgramWitness program{space};
  EXPECT_TRUE(program.seems_current()); // finds the witness
  EXPECT_TRUE(program.seems_current());
  child.execute();
  EXPECT_TRUE(space->alive()) << "the test needs a process that keeps the memory";
  EXPECT_FALSE(program.seems_current());
  EXPECT_FALSE(program.seems_current());
  EXPECT_FALSE(space->alive());
}

TEST(ProgramWitness, WitnessEnded_ProgramIsCurrent_AnotherIsFound) {
  ThreadedChild child{By::second};
  ProgramWitness program{child.space()};
  EXPECT_TRUE(program.seems_current());
  child.end_thread();
  EXPECT_TRUE(program.seems_current());
  EXPECT_TRUE(program.seems_current());
}

TEST(ProgramWitness, ProcessEnded_IsNoticed) {
  ThreadedChild child{By::first};
  ProgramWitness program{child.space()};
  EXPECT_TRUE(program.seems_current());
  ::kill(child.pid(), SIGKILL);
  EXPECT_TRUE(test::eventually([&] { return !program.seems_current(); }));
}

#endif

} // namespace
} // namespace vmemfs
