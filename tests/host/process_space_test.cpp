// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/host_memory.h"
#include "host/proc_maps.h"
#include "host/process_memory.h"
#include "host/process_space.h"
#include "support/files.h"
#include "support/forked_child.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::size_t kSize = 256 * kPageSize;
constexpr char kPattern = 'v';

enum class Sibling : unsigned char { none, shares_memory };
enum class Placement : unsigned char { random, fixed };

/// The thread sanitizer's clone() gives the child nothing to run if it shares the memory.
constexpr bool kSiblingsWork =
#ifdef __SANITIZE_THREAD__
    false;
#else
    true;
#endif

/// A child with some memory that executes a program on command.
class ExecutingChild {
public:
  explicit ExecutingChild(std::vector<const char*> program, Sibling sibling = Sibling::none,
                          Placement placement = Placement::random) {
    std::array<int, 2> to_child{};
    std::array<int, 2> to_test{};
    if (::pipe2(to_child.data(), O_CLOEXEC) != 0 || ::pipe2(to_test.data(), O_CLOEXEC) != 0) {
      std::abort();
    }
    program.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      run(to_child[0], to_test[1], program, sibling, placement);
    }
    ::close(to_child[0]);
    ::close(to_test[1]);
    write_ = UniqueFd{to_child[1]};
    read_ = UniqueFd{to_test[0]};
    if (::read(read_.get(), &memory_, sizeof memory_) != sizeof memory_) {
      std::abort();
    }
  }
  ExecutingChild(const ExecutingChild&) = delete;
  ExecutingChild& operator=(const ExecutingChild&) = delete;
  ~ExecutingChild() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// Returns when the program is executed.
  void execute() {
    char byte = 0;
    if (::write(write_.get(), &byte, 1) != 1 || ::read(read_.get(), &byte, 1) != 0) {
      std::abort();
    }
  }

  [[nodiscard]] Hva memory() const { return memory_; }
  [[nodiscard]] std::shared_ptr<const ProcessSpace>
  space(ProcessReaders readers = ProcessReaders::others) const {
    return ProcessSpace::open(std::make_shared<const Process>(Process::open(pid_).value()), readers).value();
  }
  [[nodiscard]] Result<std::shared_ptr<const ProcessSpace>> try_space() const {
    return ProcessSpace::open(std::make_shared<const Process>(Process::open(pid_).value()));
  }

private:
  static int sleep_in_sibling(void* to_test) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(*static_cast<int*>(to_test)); // an own table of descriptors
    for (;;) {
      ::pause();
    }
  }

  [[noreturn]] static void run(int from_test, int to_test, const std::vector<const char*>& program,
                               Sibling sibling, Placement placement) {
    auto* const memory = static_cast<char*>(
        ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::fill_n(memory, kSize, kPattern);
    if (sibling == Sibling::shares_memory) {
      constexpr std::size_t kStack = 64 << 10;
      auto* const stack = static_cast<char*>(
          ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      ::clone(sleep_in_sibling, stack + kStack, CLONE_VM | SIGCHLD, &to_test);
    }
    if (placement == Placement::fixed) {
      ::personality(ADDR_NO_RANDOMIZE);
    }
    char byte = 0;
    const auto address = reinterpret_cast<Hva>(memory);
    if (::write(to_test, &address, sizeof address) == sizeof address && ::read(from_test, &byte, 1) == 1) {
      ::execvp(program.front(), const_cast<char* const*>(program.data()));
    }
    ::_exit(1);
  }

  pid_t pid_ = 0;
  Hva memory_ = 0;
  UniqueFd write_;
  UniqueFd read_;
};

const std::vector<const char*> kSleep{"sleep", "1000"};

std::shared_ptr<HostMemory> open_memory(const std::shared_ptr<const ProcessSpace>& space, Hva at) {
  const HvaRange range{at, at + kSize};
  return HostMemory::open(space, {&range, 1}).value();
}

std::optional<ErrorKind> failure_of_read(const HostMemory& memory, Hva at, std::size_t size) {
  std::vector<std::byte> buffer(size);
  HostPiece piece{at, buffer};
  memory.read({&piece, 1});
  EXPECT_EQ(piece.done, piece.failure ? 0 : size);
  return piece.failure;
}

TEST(ProcessSpace, RunningProgram_IsAliveAndRead) {
  const ExecutingChild child{kSleep};
  const auto space = child.space();
  EXPECT_TRUE(space->alive());
  EXPECT_TRUE(space->seems_current());
  EXPECT_TRUE(space->check_current());
  EXPECT_EQ(read_process_value<char>(*space, child.memory()).value(), kPattern);
  const auto memory = open_memory(space, child.memory());
  for (const std::size_t size : {std::size_t{8}, 2 * kPageSize, kSize}) {
    EXPECT_EQ(failure_of_read(*memory, child.memory(), size), std::nullopt) << size;
  }
}

TEST(ProcessSpace, AnotherProgram_IsGone) {
  ExecutingChild child{kSleep};
  const auto space = child.space();
  const auto memory = open_memory(space, child.memory());
  child.execute();
  EXPECT_FALSE(space->alive());
  EXPECT_FALSE(space->seems_current());
  EXPECT_EQ(space->check_current().error().kind, ErrorKind::vm_gone);
  EXPECT_NE(space->gone().value().text.find("runs another program"), std::string::npos);
  EXPECT_EQ(read_process_value<char>(*space, child.memory()).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(read_maps(*space).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(failure_of_read(*memory, child.memory(), 8), ErrorKind::vm_gone);
  EXPECT_EQ(failure_of_read(*memory, child.memory(), kSize), ErrorKind::vm_gone);
}

/// The old address space exists on, and may be read; the new one may not.
TEST(ProcessSpace, AnotherProgramWhileASiblingKeepsTheMemory_IsNotRead) {
  if (!kSiblingsWork) {
    GTEST_SKIP() << "the thread sanitizer's clone() cannot share memory";
  }
  ExecutingChild child{kSleep, Sibling::shares_memory};
  const auto space = child.space();
  const auto memory = open_memory(space, child.memory());
  child.execute();
  const auto program = child.space();
  const Hva there = read_maps(*program).value().front().range.begin;
  EXPECT_TRUE(read_process_value<char>(*program, there)) << "the test reads nothing of the new program";
  EXPECT_FALSE(read_process_value<char>(*space, there));
  EXPECT_EQ(read_process_value<char>(*space, child.memory()).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(read_maps(*space).error().kind, ErrorKind::vm_gone);
  EXPECT_FALSE(space->alive()) << "once it was noticed";
  EXPECT_EQ(failure_of_read(*memory, child.memory(), kSize), ErrorKind::vm_gone);
}

TEST(ProcessSpace, ReadWhileASiblingKeepsTheMemory_IsProved) {
  if (!kSiblingsWork) {
    GTEST_SKIP() << "the thread sanitizer's clone() cannot share memory";
  }
  for (const auto readers : {ProcessReaders::mounter, ProcessReaders::others}) {
    for (const std::size_t size : {std::size_t{8}, 2 * kPageSize, kSize}) {
      ExecutingChild child{kSleep, Sibling::shares_memory};
      const auto memory = open_memory(child.space(readers), child.memory());
      EXPECT_EQ(failure_of_read(*memory, child.memory(), size), std::nullopt);
      child.execute();
      EXPECT_EQ(failure_of_read(*memory, child.memory(), size), ErrorKind::vm_gone) << size;
    }
  }
}

TEST(ProcessSpace, AnotherProgramWhileASiblingKeepsTheMemory_SeemsAnother) {
  if (!kSiblingsWork) {
    GTEST_SKIP() << "the thread sanitizer's clone() cannot share memory";
  }
  ExecutingChild child{kSleep, Sibling::shares_memory};
  const auto space = child.space();
  child.execute();
  EXPECT_TRUE(space->alive()) << "the test needs a sibling";
  EXPECT_FALSE(space->seems_current());
  EXPECT_FALSE(space->alive());
}

/// At the same addresses, with the same auxiliary vector.
TEST(ProcessSpace, SameProgramAtTheSameAddresses_IsGone) {
  const test::TempDir dir;
  const std::string script = "touch " + (dir / "first") + "; while [ ! -e " + (dir / "go") +
                             " ]; do sleep 0.01; done; exec sh -c \"$0\" \"$0\"";
  ExecutingChild child{{"sh", "-c", script.c_str(), script.c_str()}, Sibling::none, Placement::fixed};
  child.execute();
  ASSERT_TRUE(test::eventually([&] { return test::exists(dir / "first"); }));
  const auto space = child.space();
  std::filesystem::remove(dir / "first");
  EXPECT_TRUE(space->check_current());
  test::write_file(dir / "go", "");
  ASSERT_TRUE(test::eventually([&] { return test::exists(dir / "first"); }));
  EXPECT_EQ(space->check_current().error().kind, ErrorKind::vm_gone);
}

TEST(ProcessSpace, ProcessEnded_IsGone) {
  ForkedChild child{[] { return ChildValues{}; }};
  const auto space = child.space();
  child.kill();
  EXPECT_FALSE(space->alive());
  EXPECT_FALSE(space->seems_current());
  EXPECT_EQ(space->check_current().error().kind, ErrorKind::vm_gone);
  EXPECT_NE(space->gone().value().text.find("has ended"), std::string::npos);
}

TEST(ProcessSpace, PermissionDenied_ErrorNamesTheRemedy) {
  EXPECT_TRUE(unprivileged([] {
    const auto space = ProcessSpace::open(std::make_shared<const Process>(Process::open(1).value()));
    return !space && space.error().kind == ErrorKind::permission &&
           space.error().text.find("CAP_SYS_PTRACE") != std::string::npos;
  }));
}

TEST(ProcessSpace, SetUidProgramOfAUser_IsRefused) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "takes root, who makes a set-uid program";
  }
  const test::TempDir dir;
  const std::string program = dir / "sleep";
  std::filesystem::copy_file("/bin/sleep", program);
  std::filesystem::permissions(dir.path(), std::filesystem::perms{0755});
  ASSERT_EQ(::chmod(program.c_str(), 04755), 0);
  ExecutingChild child{{"setpriv", "--reuid=65534", "--clear-groups", program.c_str(), "1000"}};
  child.execute();
  Result<std::shared_ptr<const ProcessSpace>> space = child.try_space();
  ASSERT_TRUE(test::eventually([&] {
    space = child.try_space();
    return !space && space.error().kind != ErrorKind::vm_gone;
  })) << "the filesystem has no set-uid programs";
  EXPECT_EQ(space.error().kind, ErrorKind::unsupported);
  EXPECT_NE(space.error().text.find("set-uid"), std::string::npos) << space.error().text;
}

/// The same for a program with file capabilities.
TEST(ProcessSpace, ProgramWithFileCapabilities_IsRefused) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "takes root, who gives a program capabilities";
  }
  const test::TempDir dir;
  const std::string program = dir / "sleep";
  std::filesystem::copy_file("/bin/sleep", program);
  std::filesystem::permissions(dir.path(), std::filesystem::perms{0755});
  const vfs_cap_data capabilities{VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                                  {{1U << CAP_NET_RAW, 0}, {0, 0}}};
  ASSERT_EQ(::setxattr(program.c_str(), XATTR_NAME_CAPS, &capabilities, XATTR_CAPS_SZ_2, 0), 0);
  ExecutingChild child{{"setpriv", "--reuid=65534", "--clear-groups", program.c_str(), "1000"}};
  child.execute();
  Result<std::shared_ptr<const ProcessSpace>> space = child.try_space();
  ASSERT_TRUE(test::eventually([&] {
    space = child.try_space();
    return !space && space.error().kind != ErrorKind::vm_gone;
  })) << "the filesystem has no capabilities";
  EXPECT_EQ(space.error().kind, ErrorKind::unsupported);
}

} // namespace
} // namespace vmemfs
