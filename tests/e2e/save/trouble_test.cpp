// SPDX-License-Identifier: MIT
// `vmemfs save` when something goes wrong: a slow guest of the driver `fake` gives time for it.
#include "support/mount.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class SaveTrouble : public testing::Test {
protected:
  /// Takes 10 s to be read by two threads.
  Mount mount_{
      {"--vm", "slow=fake:size=200M,delay=100ms", "--vm", "bad=fake:size=16M,bad=0x200000-0x203000"}};
  TempDir dir_;
  TempDir out_;

  std::string file() const { return out_ / "image"; }
  std::vector<std::string> command(const std::vector<std::string>& options = {}) const {
    return joined(joined({VMEMFS_PROGRAM, "save", "--threads", "2", "--format", "raw"}, options),
                  {mount_ / "slow", file()});
  }
  [[nodiscard]] bool nothing_left() const { return std::filesystem::is_empty(out_.path()); }
  [[nodiscard]] std::string state() const {
    return nlohmann::json::parse(read_file(mount_ / "slow/info"))["state"];
  }
  /// Some of it was read and written.
  [[nodiscard]] bool has_begun() const {
    return eventually(
        [this] {
          struct stat status {};
          return ::stat((file() + ".partial").c_str(), &status) == 0 && status.st_blocks > 0;
        },
        30s);
  }
  std::string log() const { return read_file(dir_ / "log"); }
};

TEST_F(SaveTrouble, Signals_LeaveNothingAndResumeTheGuest) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1}) {
    ChildProcess process{command({"--pause"}), dir_ / "log"};
    ASSERT_TRUE(has_begun()) << log();
    EXPECT_EQ(state(), "paused");
    process.signal(signal);
    EXPECT_EQ(process.wait(30s), 128 + signal) << log();
    EXPECT_TRUE(nothing_left());
    EXPECT_TRUE(eventually([this] { return state() == "running"; }));
    EXPECT_THAT(log(), HasSubstr("stopped by a signal; nothing was saved"));
  }
}

TEST_F(SaveTrouble, EndedWhilePacking_LeavesNothingCompleteAndResumesTheGuest) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    ChildProcess process{
        {VMEMFS_PROGRAM, "save", "--threads", "2", "--pause", "--format", "avml", mount_ / "slow", file()},
        dir_ / "log"};
    ASSERT_TRUE(has_begun()) << log();
    EXPECT_EQ(state(), "paused");
    process.signal(signal);
    EXPECT_EQ(process.wait(30s), 128 + signal) << log();
    EXPECT_FALSE(exists(file()));
    EXPECT_FALSE(exists(file() + ".json"));
    EXPECT_EQ(nothing_left(), signal == SIGTERM);
    EXPECT_TRUE(eventually([this] { return state() == "running"; }));
  }
}

/// Standard error is a full pipe that nobody reads.
TEST_F(SaveTrouble, MessagesThatNobodyReads_DoNotKeepTheGuestPaused) {
  const std::string pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd full{::open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  const std::string page(4096, 'x');
  while (::write(full.get(), page.data(), page.size()) > 0) {
  }
  const std::string script = fmt::format("exec {} 2>{}", fmt::join(command({"--pause"}), " "), pipe);
  ChildProcess process{{"sh", "-c", script}, dir_ / "log"};
  ASSERT_TRUE(has_begun()) << log();
  process.signal(SIGTERM);
  EXPECT_TRUE(eventually([this] { return state() == "running"; }));
  std::string drained(page.size(), '\0'); // the last message of all may wait
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(::read(full.get(), drained.data(), drained.size()) > 0);
    return process.wait({}).has_value();
  }));
  EXPECT_TRUE(nothing_left());
}

TEST_F(SaveTrouble, Killed_LeavesNoFileThatLooksCompleteAndResumesTheGuest) {
  ChildProcess process{command({"--pause"}), dir_ / "log"};
  ASSERT_TRUE(has_begun()) << log();
  process.signal(SIGKILL);
  EXPECT_EQ(process.wait(30s), 128 + SIGKILL);
  EXPECT_FALSE(exists(file()));
  EXPECT_FALSE(exists(file() + ".json"));
  EXPECT_TRUE(eventually([this] { return state() == "running"; }));
  const auto again = run(command());
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.text, HasSubstr("image.partial' exists; another save is writing it, or was killed"));
}

TEST_F(SaveTrouble, VmDetached_Fails) {
  ChildProcess process{command(), dir_ / "log"};
  ASSERT_TRUE(has_begun()) << log();
  EXPECT_EQ(try_write(mount_ / "slow/control", "detach\n"), 0);
  EXPECT_EQ(process.wait(30s), 1);
  EXPECT_THAT(log(), HasSubstr("the VM has ended or was detached; start again"));
  EXPECT_TRUE(nothing_left());
}

TEST_F(SaveTrouble, MountGoes_Fails) {
  ChildProcess process{command(), dir_ / "log"};
  ASSERT_TRUE(has_begun()) << log();
  mount_.kill_daemon();
  EXPECT_EQ(process.wait(20s), 1);
  EXPECT_THAT(log(), HasSubstr("the mount has gone; mount the VM again"));
  EXPECT_TRUE(nothing_left());
}

TEST_F(SaveTrouble, RefusedPages_AreToldAndListed) {
  const auto result = run({VMEMFS_PROGRAM, "save", mount_ / "bad", file()});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.text, HasSubstr("the source refused 3 reads of pages, which are zeros in the image"));
  const auto json = nlohmann::json::parse(read_file(file() + ".json"));
  EXPECT_EQ(json["image"]["complete"], false);
  EXPECT_EQ(json["unreadable"]["refused_pages"],
            (std::vector<std::string>{"0x200000", "0x201000", "0x202000"}));
  EXPECT_EQ(json["image"]["sha256"], run({"sha256sum", file()}).text.substr(0, 64));
}

TEST_F(SaveTrouble, FileExists_IsRefusedAndKept) {
  for (const std::string suffix : {"", ".partial", ".json", ".json.partial"}) {
    write_file(file() + suffix, "kept");
    const auto result = run({VMEMFS_PROGRAM, "save", mount_ / "bad", file()});
    EXPECT_EQ(result.code, 1) << suffix;
    EXPECT_THAT(result.text, HasSubstr("exists")) << suffix;
    EXPECT_EQ(read_file(file() + suffix), "kept");
    std::filesystem::remove(file() + suffix);
    EXPECT_TRUE(nothing_left()) << suffix;
  }
  write_file(file(), "replaced");
  write_file(file() + ".json", "replaced");
  EXPECT_EQ(run({VMEMFS_PROGRAM, "save", "--overwrite", mount_ / "bad", file()}).code, 3);
  EXPECT_GT(std::filesystem::file_size(file()), 1000U);
}

TEST_F(SaveTrouble, BadArguments_SayWhatIsWrong) {
  const auto expect = [&](const std::vector<std::string>& args, int code, const std::string& text) {
    const auto result = run(joined({VMEMFS_PROGRAM, "save"}, args));
    EXPECT_EQ(result.code, code) << text;
    EXPECT_THAT(result.text, HasSubstr(text));
    EXPECT_TRUE(nothing_left()) << text;
  };
  const std::string vm = mount_ / "bad";
  expect({dir_.path(), file()}, 1, "it is in no mount of vmemfs; give a directory of a mount");
  expect({mount_.path() + "/.vmemfs", file()}, 1, "it does not have the files of a VM");
  expect({mount_ / "none", file()}, 1, "is not the directory of a VM: No such file or directory");
  expect({vm + "/info", file()}, 1, "is not the directory of a VM: Not a directory");
  expect({vm, out_.path()}, 1, "it is a directory; give the name of a new file");
  expect({vm, out_ / "none/image"}, 1, "No such file or directory; give one that exists");
  expect({vm, mount_ / "image"}, 1, "cannot write");
  expect({"--format", "x", vm, file()}, 2, "use one of raw, lime, elf, avml, kdump");
  expect({"--max-pause", "soon", vm, file()}, 2, "'soon' is not a duration of at least 1ms");
  expect({"--max-pause", "30", vm, file()}, 2, "(a number with ms, s, m, h or d)");
  expect({"--max-pause", "1441m", vm, file()}, 2, "'1441m' is longer than 1d");
  expect({"--sidecar", file(), vm, file()}, 1, "cannot write the sidecar");
  expect({"--sidecar", out_ / "./image.partial", vm, file()}, 1, "takes that name; give another one");
  expect({"--threads", "0", vm, file()}, 2, "--threads");
  expect({"--pause", "--live", vm, file()}, 2, "--live");
  expect({vm}, 2, "FILE is required");
}

/// With standard error closed, the image would get its number, and messages.
TEST_F(SaveTrouble, StandardDescriptorsClosed_ImageIsRight) {
  const auto result =
      run({"sh", "-c",
           fmt::format("{} save --format raw {} {} <&- >&- 2>&-; sha256sum {}; {} save {} - >&-",
                       VMEMFS_PROGRAM, mount_ / "bad", file(), file(), VMEMFS_PROGRAM, mount_ / "bad")});
  const auto json = nlohmann::json::parse(read_file(file() + ".json"));
  EXPECT_THAT(result.text, HasSubstr(json["image"]["sha256"].get<std::string>()));
  EXPECT_THAT(result.text, HasSubstr("cannot write 'standard output': Bad file descriptor"));
}

TEST_F(SaveTrouble, FileSizeLimit_Fails) {
  const auto result =
      run({"bash", "-c",
           fmt::format("ulimit -f 1024; exec {} save {} {}", VMEMFS_PROGRAM, mount_ / "bad", file())});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.text, HasSubstr("File too large; raise the limit (ulimit -f)"));
  EXPECT_TRUE(nothing_left());
}

/// In a mount namespace of its own, which has the mount too.
class SaveOnSmallDisk : public SaveTrouble {
protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root";
    }
  }
  RunResult in_tmpfs(const std::string& size, const std::string& script) const {
    return run({"unshare", "-m", "sh", "-c",
                fmt::format("mount -t tmpfs -o size={} tmpfs {} && cd {} && {{ {}; }}", size, out_.path(),
                            out_.path(), script)});
  }
};

TEST_F(SaveOnSmallDisk, TooLittleSpace_IsRefusedWithTheNumbers) {
  const auto result =
      in_tmpfs("8M", fmt::format("{} save {} image; echo code $?; ls", VMEMFS_PROGRAM, mount_ / "bad"));
  EXPECT_THAT(result.text, HasSubstr("the image takes about 16.0 MiB (16"));
  EXPECT_THAT(result.text, HasSubstr("has 8.0 MiB free (8388608 bytes); free some space"));
  EXPECT_THAT(result.text, testing::EndsWith("code 1\n"));
}

TEST_F(SaveOnSmallDisk, FullInTheMiddle_LeavesNothingAndResumesTheGuest) {
  for (const std::string format : {"raw", "avml", "kdump"}) {
    const auto result = in_tmpfs(
        "220M",
        fmt::format(
            "{} save --pause --threads 2 --format {} {} image & "
            "until [ \"$(stat -c %b image.partial 2>/dev/null || echo 0)\" -gt 0 ] || ! kill -0 $!; do "
            "sleep 0.05; done; "
            "dd if=/dev/zero of=fill bs=1M 2>/dev/null; wait $!; echo code $?; ls",
            VMEMFS_PROGRAM, format, mount_ / "slow"));
    EXPECT_THAT(result.text, HasSubstr("cannot write 'image': No space left on device; free some space"));
    EXPECT_THAT(result.text, testing::EndsWith("code 1\nfill\n"));
    EXPECT_TRUE(eventually([this] { return state() == "running"; }));
  }
}

} // namespace
} // namespace vmemfs::test
