// SPDX-License-Identifier: MIT
// The control file from outside: holds, timed pauses, many writers at once, odd writes.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

UniqueFd open_control(const Mount& mount) {
  return UniqueFd{::open((mount.path() + "/vm/control").c_str(), O_RDWR | O_CLOEXEC)};
}

ssize_t put(const UniqueFd& control, std::string_view text) {
  return ::write(control.get(), text.data(), text.size());
}

std::string answer(const UniqueFd& control) {
  std::array<char, 4096> text{};
  const ssize_t got = ::read(control.get(), text.data(), text.size());
  return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

class ControlOfFake : public testing::Test {
protected:
  [[nodiscard]] std::string status() const { return read_file(mount_.path() + "/vm/control"); }

  Mount mount_{{"--vm", "vm=fake:size=16M"}};
};

TEST_F(ControlOfFake, Hold_EndsWithItsHandle) {
  {
    const UniqueFd first = open_control(mount_);
    ASSERT_EQ(put(first, "pause hold\n"), 11);
    EXPECT_EQ(answer(first), "ok\n");
    ASSERT_EQ(put(first, "pause hold\n"), 11); // one per handle
    const UniqueFd second = open_control(mount_);
    ASSERT_EQ(put(second, "pause hold"), 10);
    EXPECT_THAT(status(), HasSubstr("state paused\npaused_by vmemfs\n"));
    EXPECT_THAT(status(), HasSubstr("\nholds 2\n"));
    EXPECT_EQ(try_write(mount_.path() + "/vm/control", "resume\n"), EBUSY);
    EXPECT_THAT(status(), HasSubstr("2 open control file(s) hold the VM paused"));
  }
  EXPECT_TRUE(eventually([&] { return status().starts_with("state running\npaused_by nobody\n"); }));
}

TEST_F(ControlOfFake, Holder_MayResume) {
  const UniqueFd control = open_control(mount_);
  ASSERT_GT(put(control, "pause hold\n"), 0);
  ASSERT_GT(put(control, "resume\n"), 0);
  EXPECT_THAT(status(), HasSubstr("state running\n"));
  ASSERT_GT(put(control, "pause hold\n"), 0);
  EXPECT_THAT(status(), HasSubstr("state paused\n"));
}

TEST_F(ControlOfFake, TimedPause_EndsAfterItsTime) {
  ASSERT_EQ(try_write(mount_.path() + "/vm/control", "pause ttl=5s\n"), 0);
  EXPECT_THAT(status(), testing::AllOf(HasSubstr("state paused\n"), HasSubstr("pause_ends_in ")));
  EXPECT_TRUE(eventually([&] { return status().starts_with("state running\n"); }));
}

TEST_F(ControlOfFake, SeveralCommands_RunUpToTheFirstFailure) {
  const UniqueFd hold = open_control(mount_);
  ASSERT_GT(put(hold, "pause hold\n"), 0);
  const UniqueFd control = open_control(mount_);
  EXPECT_EQ(put(control, "write on\nflush\nresume\nwrite off\n"), 15) << "all before resume";
  EXPECT_EQ(put(control, "resume\nwrite off\n"), -1);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_THAT(answer(control), HasSubstr("hold the VM paused"));
  EXPECT_THAT(status(), HasSubstr("write on\n"));
  EXPECT_EQ(put(control, "write off\nbogus\n"), -1) << "malformed: none of it";
  EXPECT_THAT(status(), HasSubstr("write on\n"));
}

TEST_F(ControlOfFake, UnusualWrites_AreRefusedWithAMessage) {
  const UniqueFd control = open_control(mount_);
  EXPECT_EQ(put(control, std::string(100'000, 'x')), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_THAT(answer(control), HasSubstr("100000 bytes at once are no commands"));
  std::string noise(3000, '\0');
  std::mt19937 random{1};
  for (char& byte : noise) {
    byte = static_cast<char>(random());
  }
  EXPECT_EQ(put(control, noise), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_THAT(answer(control), HasSubstr("control: "));
  EXPECT_EQ(put(control, "\n\n  \n"), 5);
  EXPECT_EQ(put(control, ""), 0);
  EXPECT_EQ(put(control, "pau"), -1);
  EXPECT_EQ(put(control, "se\n"), -1);
  EXPECT_THAT(status(), HasSubstr("state running\n"));
}

TEST_F(ControlOfFake, CacheSettings) {
  const std::string control = mount_.path() + "/vm/control";
  EXPECT_THAT(status(),
              HasSubstr("cache auto in_use=no used=0 limit=0 ttl=0ms kernel=auto kernel_in_use=no\n"));
  ASSERT_EQ(try_write(control, "cache on size=1M ttl=250ms kernel=off\n"), 0);
  EXPECT_THAT(status(),
              HasSubstr("cache on in_use=yes used=0 limit=1048576 ttl=250ms kernel=off kernel_in_use=no\n"));
  EXPECT_EQ(try_write(control, "cache size=1T\n"), EINVAL);
  EXPECT_THAT(status(), HasSubstr("--cache-size"));
  EXPECT_EQ(try_write(control, "cache size=10\n"), EINVAL);
  EXPECT_THAT(status(), HasSubstr("last_error cache: a cache of 10 bytes has no room for a page"));
  EXPECT_THAT(status(), HasSubstr("cache on in_use=yes used=0 limit=1048576 "));
  ASSERT_EQ(try_write(control, "cache size=0\n"), 0);
  EXPECT_THAT(status(), HasSubstr("cache on in_use=no used=0 limit=0 "));
  EXPECT_THAT(status(), HasSubstr("(its size is 0; `echo cache size=share > control`"));
  ASSERT_EQ(try_write(control, "cache size=share ttl=0 off\n"), 0);
  EXPECT_THAT(status(), HasSubstr("cache off in_use=no"));
}

TEST(CacheWithoutMemory, On_IsNotInUseWithTheReason) {
  const Mount mount{{"--vm", "vm=fake", "--cache-size", "0"}};
  ASSERT_EQ(try_write(mount / "vm/control", "cache on\n"), 0);
  const auto cache = nlohmann::json::parse(read_file(mount / "vm/info"))["cache"];
  EXPECT_EQ(cache["in_use"], false);
  EXPECT_THAT(cache["not_in_use_because"].get<std::string>(), HasSubstr("mount with a larger --cache-size"));
}

TEST(CacheOfASlowDriver, Auto_PausedVm_IsUsed) {
  constexpr std::uint64_t kPages = (std::uint64_t{16} << 20U) / 4096;
  Mount mount{{"--vm", "vm=fake:size=16M,delay=1ms,cache_kernel=off"}}; // not that of the kernel
  const auto cache = [&] { return nlohmann::json::parse(read_file(mount / "vm/info"))["cache"]; };
  const auto read_all = [&] {
    const auto done = run({"sh", "-c", fmt::format("cat {} | sha256sum", mount / "vm/mem")});
    EXPECT_EQ(done.code, 0);
    return done.text;
  };
  const std::string live = read_all();
  EXPECT_TRUE(cache()["in_use"].get<bool>());
  EXPECT_EQ(cache()["used"].get<std::uint64_t>(), 0U);
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_EQ(read_all(), live);
  const auto cold = cache();
  EXPECT_EQ(cold["misses"].get<std::uint64_t>() + cold["read_ahead"].get<std::uint64_t>(), kPages);
  EXPECT_EQ(cold["used"].get<std::uint64_t>(), kPages * 4096);
  EXPECT_EQ(read_all(), live);
  const auto warm = cache();
  EXPECT_EQ(warm["misses"], cold["misses"]);
  EXPECT_EQ(warm["hits"].get<std::uint64_t>(), cold["hits"].get<std::uint64_t>() + kPages);
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  EXPECT_TRUE(eventually([&] { return cache()["used"].get<std::uint64_t>() == 0; }));
}

/// Ten threads with all kinds of commands, with concurrent readers.
void hammer(const Mount& mount, milliseconds how_long) {
  struct Expected {
    std::string_view text;
    std::array<int, 3> errors; ///< the results that are allowed
  };
  static constexpr Expected kCommands[] = {
      {"pause\n", {0, EBUSY, 0}},
      {"resume\n", {0, EBUSY, 0}},
      {"pause hold\n", {0, EBUSY, 0}},
      {"pause ttl=20ms\n", {0, EBUSY, 0}},
      {"refresh\n", {0, 0, 0}},
      {"flush\n", {0, 0, 0}},
      {"cache on\n", {0, 0, 0}},
      {"cache auto\n", {0, 0, 0}},
      {"write on\n", {0, 0, 0}},
      {"write off\n", {0, 0, 0}},
      {"status\n", {0, 0, 0}},
      {"puase\n", {EINVAL, EINVAL, EINVAL}},
      {"pause ttl=\n", {EINVAL, EINVAL, EINVAL}},
      {"\xff\x01\n", {EINVAL, EINVAL, EINVAL}},
      {"cache size=x\n", {EINVAL, EINVAL, EINVAL}},
  };
  std::atomic<int> done{0};
  const auto end = std::chrono::steady_clock::now() + how_long;
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < 10; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random{i};
      while (std::chrono::steady_clock::now() < end) {
        const UniqueFd control = open_control(mount);
        for (unsigned n = random() % 4; n < 4; ++n) {
          const Expected& command = kCommands[random() % std::size(kCommands)];
          const int error = put(control, command.text) < 0 ? errno : 0;
          EXPECT_THAT(command.errors, testing::Contains(error)) << command.text;
          EXPECT_THAT(answer(control), HasSubstr(error == 0 ? "" : " ")) << command.text;
          ++done;
        }
      }
    });
  }
  for (unsigned i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      const UniqueFd mem{::open((mount.path() + "/vm/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
      while (std::chrono::steady_clock::now() < end) {
        EXPECT_EQ(pread_at(mem.get(), 0x100000, 0x10000).bytes.size(), 0x10000U);
        EXPECT_FALSE(read_file(mount.path() + "/vm/info").empty());
      }
    });
  }
  threads.clear();
  EXPECT_GT(done, 10);
}

TEST_F(ControlOfFake, TenConcurrentScripts_KeepAConsistentState) {
  hammer(mount_, milliseconds{2000});
  ASSERT_TRUE(eventually([&] { return status().find("\nholds 0\n") != std::string::npos; }));
  ASSERT_EQ(try_write(mount_.path() + "/vm/control", "resume\n"), 0);
  EXPECT_THAT(status(), HasSubstr("state running\npaused_by nobody\n"));
  EXPECT_EQ(mount_.unmount(), 0);
}

TEST(ControlOfQemu, TenConcurrentScripts_KeepAConsistentState) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  hammer(mount, milliseconds{3000});
  const auto status = [&] { return read_file(mount / "vm/control"); };
  ASSERT_TRUE(eventually([&] { return status().find("\nholds 0\n") != std::string::npos; }));
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_FALSE(guest.running());
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  EXPECT_TRUE(guest.running());
  EXPECT_EQ(mount.unmount(), 0);
}

TEST(ControlOfQemu, Hold_HolderKilled_Ends) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  TempDir dir;
  for (int i = 0; i < 50; ++i) {
    ChildProcess holder{{"sh", "-c",
                         fmt::format("exec 3<>{}; echo pause hold >&3; echo held > {}; exec sleep 1000",
                                     mount / "vm/control", dir / "said")},
                        dir / "out"};
    ASSERT_TRUE(eventually([&] { return exists(dir / "said") && !read_file(dir / "said").empty(); }));
    EXPECT_FALSE(guest.running());
    holder.signal(SIGKILL);
    ASSERT_TRUE(eventually([&] { return guest.running(); })) << i;
    write_file(dir / "said", "");
  }
}

TEST(ControlOfQemu, PausedBy_IsReported) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const std::string control = mount / "vm/control";
  guest.pause();
  EXPECT_THAT(read_file(control), HasSubstr("state paused\npaused_by other\n"));
  const UniqueFd handle = open_control(mount);
  ASSERT_GT(put(handle, "pause ttl=10ms\n"), 0);
  EXPECT_THAT(answer(handle), HasSubstr("somebody else had paused it"));
  std::this_thread::sleep_for(milliseconds{100});
  EXPECT_FALSE(guest.running()) << "not ours to end";
  ASSERT_EQ(try_write(control, "resume\n"), 0);
  EXPECT_TRUE(guest.running());
  ASSERT_EQ(try_write(control, "pause\n"), 0);
  EXPECT_THAT(read_file(control), HasSubstr("state paused\npaused_by vmemfs\n"));
  guest.resume();
  EXPECT_THAT(read_file(control), HasSubstr("state running\npaused_by nobody\n"));
}

} // namespace
} // namespace vmemfs::test
