// SPDX-License-Identifier: MIT
// A VM whose pages a userfaultfd handler should supply and never does, as in a post-copy migration whose
// source hangs: nobody else may wait for it.
#include "attack/attacker_program.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

/// Within this everything that does not read the VM answers.
constexpr seconds kSoon{20};
/// Within this the daemon ends: after five seconds on a host with time.
constexpr seconds kEndLimit{20};
/// More than there are threads for requests.
constexpr const char* kManyReaders = "300";
/// No words before a command.
const std::vector<std::string> kAsRoot;

class UserfaultAttack : public AttackTest {
protected:
  /// A VM without a page, run by the words `as`; false if the kernel does not allow that.
  bool start_vm(const std::vector<std::string>& as, const std::string& memory) {
    std::filesystem::copy_file(hostile("monitor"), dir_ / "qemu-system-x86_64");
    std::filesystem::permissions(dir_.path(), std::filesystem::perms{0777});
    const std::string socket = dir_ / "qmp";
    vm_ = std::make_unique<ChildProcess>(
        joined(as, {dir_ / "qemu-system-x86_64", memory, "0", "-qmp",
                    fmt::format("unix:{},server=on,wait=off", socket), "-m", "16"}),
        dir_ / "vm.log");
    static_cast<void>(eventually([&] { return exists(socket) || vm_->wait({}).has_value(); }));
    return !vm_->wait({}).has_value();
  }

  /// Plugs and unplugs memory of the VM.
  void set_pages(int pages) const { write_file(dir_ / "qmp.pages", fmt::format("{}", pages)); }
  [[nodiscard]] static off_t size_of(const std::string& path) {
    struct stat attributes {};
    return ::stat(path.c_str(), &attributes) == 0 ? attributes.st_size : -1;
  }

  [[nodiscard]] std::vector<std::string> mount_args() const {
    return {"--vm", fmt::format("lazy=qemu:pid={},qmp={}", vm_->pid(), dir_ / "qmp"), "--vm",
            "healthy=fake:size=16M"};
  }

  /// A program that uses the mount; ended after it, as it may be held by it.
  ChildProcess& start(const std::vector<std::string>& command) {
    children_.push_back(std::make_unique<ChildProcess>(command, dir_ / "log"));
    return *children_.back();
  }

  [[nodiscard]] bool soon(const std::vector<std::string>& command) { return start(command).wait(kSoon) == 0; }

  void expect_others_unaffected(const Mount& mount) {
    EXPECT_TRUE(soon({"ls", "-lR", mount.path()}));
    EXPECT_TRUE(soon({"head", "-c", "65536", mount / "healthy/mem"}));
    EXPECT_TRUE(soon({"cat", mount / "healthy/control", mount / "healthy/info", mount / ".vmemfs/control",
                      mount / "lazy/maps", mount / "lazy/control"}));
    EXPECT_TRUE(
        soon({"sh", "-c", fmt::format("echo pause > {0} && echo resume > {0}", mount / "healthy/control")}));
  }

private:
  const TempDir dir_;
  std::unique_ptr<ChildProcess> vm_;
  std::vector<std::unique_ptr<ChildProcess>> children_;
};

/// Waits until the readers' requests are under way: they leave no trace that could be waited for.
void let_requests_hang() { ::usleep(500'000); }

#define START_OR_SKIP(as, memory)                                                                            \
  if (!start_vm(as, memory)) {                                                                               \
    GTEST_SKIP() << "the kernel allows no userfaultfd here";                                                 \
  }

TEST_F(UserfaultAttack, MissingPages_OthersAnswerAndReadersCanBeKilled) {
  START_OR_SKIP(kAsRoot, "missing");
  const Mount mount{mount_args()};
  ASSERT_THAT(read_file(mount / "lazy/info"), HasSubstr("userfaultfd"));
  ChildProcess& one = start({"head", "-c", "4096", mount / "lazy/mem"});
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "lazy/mem"});
  let_requests_hang();
  ASSERT_FALSE(one.wait({}).has_value()); // else nothing hangs, and this shows nothing
  expect_others_unaffected(mount);
  one.signal(SIGKILL);
  many.signal(SIGKILL);
  EXPECT_TRUE(one.wait(kSoon).has_value());
  EXPECT_TRUE(many.wait(kSoon).has_value());
  expect_others_unaffected(mount);
}

TEST_F(UserfaultAttack, MissingPages_DetachEndsReads) {
  START_OR_SKIP(kAsRoot, "missing");
  const Mount mount{mount_args()};
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "lazy/mem"});
  let_requests_hang();
  ASSERT_FALSE(many.wait({}).has_value());
  EXPECT_TRUE(soon({"sh", "-c", fmt::format("echo detach > {}", mount / "lazy/control")}));
  EXPECT_TRUE(many.wait(kSoon).has_value());
  EXPECT_FALSE(exists(mount / "lazy"));
}

TEST_F(UserfaultAttack, MissingPages_DaemonEndsInTime) {
  START_OR_SKIP(kAsRoot, "missing");
  Mount mount{mount_args()};
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "lazy/mem"});
  let_requests_hang();
  ASSERT_FALSE(many.wait({}).has_value());
  mount.daemon().signal(SIGTERM);
  EXPECT_EQ(mount.daemon().wait(kEndLimit), 0);
  EXPECT_TRUE(many.wait(kSoon).has_value());
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, kSoon));
}

/// The kernel has the page locked, and waits for it if a file's size is another one than before.
TEST_F(UserfaultAttack, SizeChangesWhilePageIsAwaited_AttributesAndOpenReturn) {
  START_OR_SKIP(kAsRoot, "missing");
  set_pages(2048);
  const Mount mount{mount_args()};
  const std::string memory = mount / "lazy/mem";
  ASSERT_EQ(size_of(memory), 2048 * 4096);
  ChildProcess& toucher = start({hostile("toucher"), memory});
  let_requests_hang();
  for (const int pages : {4096, 1024}) {
    set_pages(pages);
    ASSERT_TRUE(soon({"sh", "-c", fmt::format("echo refresh > {}", mount / "lazy/control")}));
    ASSERT_TRUE(soon({"stat", memory})) << pages;
    EXPECT_TRUE(soon({"ls", "-l", mount / "lazy"}));
    EXPECT_TRUE(soon({"sh", "-c", fmt::format(": < {}", memory)}));
    EXPECT_EQ(size_of(memory), 4096 * 4096) << "it does not shrink while a file is open";
    ASSERT_FALSE(toucher.wait({}).has_value()) << "else no page is awaited, and this shows nothing";
  }
  expect_others_unaffected(mount);
  toucher.signal(SIGKILL);
  EXPECT_TRUE(toucher.wait(kSoon).has_value());
  EXPECT_TRUE(eventually([&] { return size_of(memory) == 1024 * 4096; }, kSoon));
}

/// The handler is not asked for what the kernel touches for another process: the read gives up at once.
TEST_F(UserfaultAttack, MissingPagesOfAnOrdinaryUser_AreRefused) {
  START_OR_SKIP(as_user(kAttacker), "missing-user");
  const Mount mount{mount_args()};
  ASSERT_THAT(read_file(mount / "lazy/info"), HasSubstr("userfaultfd"));
  const UniqueFd memory{::open((mount / "lazy/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto begin = steady_clock::now();
  EXPECT_EQ(pread_at(memory.get(), 0, 4096).error, EIO);
  EXPECT_LT(steady_clock::now() - begin, kSoon);
  expect_others_unaffected(mount);
}

} // namespace
} // namespace vmemfs::test
