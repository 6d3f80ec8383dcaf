// SPDX-License-Identifier: MIT
// Mounting, unmounting, and the end of a VM or its memory while it is read.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1 << 20;

GuestOptions shared_guest(const std::string& memory) {
  GuestOptions options;
  options.machine = "pc,memory-backend=m0";
  options.memory = memory;
  options.extra = {"-object", fmt::format("memory-backend-memfd,id=m0,size={},share=on", memory)};
  return options;
}

class Killed : public testing::TestWithParam<bool> {};

TEST_P(Killed, EveryReaderEndsWithEnodevWithinASecond) {
  GuestOptions options = GetParam() ? shared_guest("64M") : GuestOptions{};
  QemuGuest guest{options};
  Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
  struct Reader {
    std::atomic<int> error{0};
    std::atomic<bool> bad{false}; ///< read zeros or an end of file, which must not occur
    std::atomic<std::chrono::steady_clock::time_point> ended{};
  };
  std::array<Reader, 8> readers;
  std::chrono::steady_clock::time_point killed;
  {
    std::vector<std::jthread> threads;
    std::atomic<int> started{0};
    for (std::size_t i = 0; i < readers.size(); ++i) {
      threads.emplace_back([&, i] {
        const UniqueFd mem{
            ::open((mount / (i % 2 == 0 ? "vm/mem" : "vm/mem_padded")).c_str(), O_RDONLY | O_CLOEXEC)};
        ++started;
        while (true) {
          const auto read = pread_at(mem.get(), (16 + i) * kMiB, i < 4 ? 4096 : kMiB);
          if (read.error != 0) {
            readers[i].error = read.error;
            break;
          }
          // The first word of each page has the guest's pattern, which is never zero.
          readers[i].bad = readers[i].bad || read.bytes.empty() ||
                           std::all_of(read.bytes.begin(), read.bytes.begin() + 8,
                                       [](std::byte b) { return b == std::byte{0}; });
        }
        readers[i].ended = std::chrono::steady_clock::now();
      });
    }
    ASSERT_TRUE(eventually([&] { return started == 8; }));
    std::this_thread::sleep_for(std::chrono::milliseconds{300});
    guest.process().signal(SIGKILL);
    killed = std::chrono::steady_clock::now();
  }
  for (const Reader& reader : readers) {
    EXPECT_EQ(reader.error, ENODEV);
    EXPECT_FALSE(reader.bad);
    EXPECT_LT(reader.ended.load() - killed, seconds{15});
  }
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); }));
  EXPECT_EQ(mount.daemon().wait({}), std::nullopt) << "the daemon lives";
  EXPECT_EQ(mount.unmount(), 0);
}

INSTANTIATE_TEST_SUITE_P(Memory, Killed, testing::Bool(),
                         [](const auto& subject) { return subject.param ? "shared" : "private"; });

TEST(Gone, EveryOpenHandle_FailsWithEnodev) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
  std::vector<UniqueFd> files;
  for (const char* name : {"mem", "mem_padded", "control", "vcpus/0/regs"}) {
    files.emplace_back(::open((mount / (std::string{"vm/"} + name)).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(files.back()) << name;
  }
  guest.process().signal(SIGKILL);
  ASSERT_TRUE(eventually([&] { return !exists(mount / "vm"); }));
  for (const UniqueFd& file : files) {
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1} << 40U}) {
      const auto read = pread_at(file.get(), offset, 16);
      EXPECT_TRUE(read.error == ENODEV || (offset != 0 && &file == &files[3])) << offset;
    }
  }
}

TEST(Truncated, BackingFileUnderLoad_ReadsFailAndTheDaemonLives) {
  const std::string ram = fmt::format("/dev/shm/vmemfs-test-cut-{}", ::getpid());
  GuestOptions options;
  options.machine = "pc,memory-backend=m0";
  options.extra = {"-object", fmt::format("memory-backend-file,id=m0,size=64M,mem-path={},share=on", ram)};
  {
    QemuGuest guest{options};
    guest.pause();
    Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
    std::atomic<bool> stop{false};
    std::atomic<int> errors{0};
    std::atomic<int> good{0};
    {
      std::vector<std::jthread> readers;
      for (int i = 0; i < 4; ++i) {
        readers.emplace_back([&] {
          const UniqueFd mem{::open((mount / "vm/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
          for (std::uint64_t at = 0; !stop; at = (at + kMiB) % (64 * kMiB)) {
            const auto read = pread_at(mem.get(), at, kMiB);
            (read.error != 0 || read.bytes.size() < kMiB ? errors : good)++;
          }
        });
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{200});
      EXPECT_EQ(errors, 0);
      std::filesystem::resize_file(ram, 32 * kMiB);
      EXPECT_TRUE(eventually([&] { return errors > 100; }));
      stop = true;
    }
    EXPECT_GT(good, 0);
    EXPECT_EQ(mount.daemon().wait({}), std::nullopt) << mount.log();
    {
      const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
      EXPECT_EQ(pread_at(mem.get(), 16 * kMiB, 4096).bytes.size(), 4096U);
      EXPECT_EQ(pread_at(mem.get(), 48 * kMiB, 4096).error, EIO);
    }
    EXPECT_EQ(mount.unmount(), 0);
    guest.process().signal(SIGKILL); // it cannot continue without its memory
  }
  std::filesystem::remove(ram);
}

/// Host memory of the memfds of a process, mapped or not.
std::uint64_t memfd_memory(pid_t pid) {
  std::uint64_t total = 0;
  for (const auto& entry : std::filesystem::directory_iterator{fmt::format("/proc/{}/fd", pid)}) {
    struct stat status {};
    std::error_code closed; // set if it was closed meanwhile, such as a monitor's connection
    if (std::filesystem::read_symlink(entry, closed).string().starts_with("/memfd:") &&
        ::stat(entry.path().c_str(), &status) == 0) {
      total += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
  }
  return total;
}

/// Private host memory of a process.
std::uint64_t rss_of(pid_t pid, const std::string& key) {
  std::ifstream status{fmt::format("/proc/{}/status", pid)};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) {
      return std::stoull(line.substr(key.size())) * 1024;
    }
  }
  return 0;
}

TEST(Sparse, ReadingA2GiBGuestThatTouched100MiBTakesNoHostMemory) {
  for (const bool shared : {true, false}) {
    SCOPED_TRACE(shared ? "memfd" : "private");
    GuestOptions options = shared ? shared_guest("2G") : GuestOptions{};
    options.memory = "2G";
    options.fill = "100M";
    QemuGuest guest{options};
    guest.pause();
    Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
    const std::uint64_t memfd = memfd_memory(guest.pid());
    EXPECT_EQ(memfd > 100 * kMiB, shared);
    const std::uint64_t rss = rss_of(guest.pid(), "RssAnon:") + rss_of(guest.pid(), "RssShmem:");
    EXPECT_GT(rss, 100 * kMiB);
    [[maybe_unused]] const std::uint64_t daemon = rss_of(mount.daemon().pid(), "RssAnon:");
    EXPECT_EQ(run({"sh", "-c", "cat " + mount / "vm/mem_padded" + " > /dev/null"}).code, 0);
    constexpr std::uint64_t kNoise = 4 * kMiB; // QEMU's own allocations meanwhile
    EXPECT_EQ(memfd_memory(guest.pid()), memfd);
    EXPECT_LT(rss_of(guest.pid(), "RssAnon:") + rss_of(guest.pid(), "RssShmem:"), rss + kNoise);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) // sanitizers allocate memory themselves
    // Buffers of 1 MiB, of which the daemon keeps 8, or one for each CPU. Two share a huge page, which stays
    // as long as one of them; and what the threads themselves take.
    const std::uint64_t buffers = 2 * std::max(8U, std::thread::hardware_concurrency()) * kMiB;
    // A thread may still have the buffer of a reply that was delivered.
    EXPECT_TRUE(eventually([&] {
      return rss_of(mount.daemon().pid(), "RssAnon:") < daemon + buffers + 3 * kMiB;
    })) << daemon
        << " " << rss_of(mount.daemon().pid(), "RssAnon:");
#endif
  }
}

TEST(MountPoint, Signals_UnmountAndResumeAPausedGuest) {
  for (const int signal : {SIGTERM, SIGINT}) {
    QemuGuest guest{{}};
    Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
    EXPECT_FALSE(guest.running());
    mount.daemon().signal(signal);
    EXPECT_EQ(mount.daemon().wait(seconds{10}), 0);
    EXPECT_FALSE(is_mountpoint(mount.path()));
    EXPECT_TRUE(eventually([&] { return guest.running(); })) << "by the guardian, if the daemon had no time";
  }
}

TEST(MountPoint, ForeignPause_OutlivesTheDaemon) {
  QemuGuest guest{{}};
  guest.pause();
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_FALSE(guest.running());
}

TEST(MountPoint, DeadMount_ErrorNamesTheRemedy) {
  TempDir dir;
  const std::string mountpoint = dir / "mnt";
  std::filesystem::create_directory(mountpoint);
  ChildProcess daemon{{VMEMFS_PROGRAM, "-f", "--no-discover", "--vm", "a=fake", mountpoint}, dir / "log"};
  ASSERT_TRUE(eventually([&] { return is_mountpoint(mountpoint); }));
  const auto mounters = children_of(daemon.pid(), "vmemfs-mount");
  ASSERT_EQ(mounters.size(), 1U);
  // Otherwise it, or its standby, would remove the dead mount.
  std::vector<pid_t> standby;
  ASSERT_TRUE(
      eventually([&] { return (standby = children_of(mounters.front(), "vmemfs-mount")).size() == 1; }));
  ::kill(mounters.front(), SIGSTOP);
  ::kill(standby.front(), SIGKILL);
  ::kill(mounters.front(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return has_ended(mounters.front()); }));
  daemon.signal(SIGKILL);
  ASSERT_TRUE(daemon.wait(seconds{10}).has_value());
  const auto again = run({VMEMFS_PROGRAM, "-f", "--no-discover", "--vm", "a=fake", mountpoint});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.text, HasSubstr("fusermount3 -u"));
  EXPECT_EQ(run({"fusermount3", "-u", mountpoint}).code, 0);
}

TEST(MountPoint, Background_ReturnsWhenTheMountIsReady) {
  TempDir dir;
  const std::string mountpoint = dir / "mnt";
  std::filesystem::create_directory(mountpoint);
  const auto started = run({VMEMFS_PROGRAM, "--no-discover", "--vm", "a=fake", mountpoint});
  EXPECT_EQ(started.code, 0) << started.text;
  EXPECT_EQ(started.text, "");
  EXPECT_TRUE(std::filesystem::exists(mountpoint + "/a/mem"));
  EXPECT_EQ(run({"fusermount3", "-u", mountpoint}).code, 0);
}

TEST(MountPoint, SourceAndMountpoint_AsInFstab) {
  TempDir dir;
  const std::string mountpoint = dir / "mnt";
  std::filesystem::create_directory(mountpoint);
  const auto started = run({VMEMFS_PROGRAM, "web01=fake:size=1M", mountpoint, "-o",
                            "rw,nosuid,nodev,defaults,x-systemd.automount,writable", "-o", "fsname=web01"});
  ASSERT_EQ(started.code, 0) << started.text;
  EXPECT_EQ(try_write(mountpoint + "/web01/vcpus/0/regs", "rbx 1\n"), 0);
  EXPECT_THAT(read_file("/proc/self/mounts"), HasSubstr("web01 " + mountpoint + " fuse.vmemfs rw"));
  EXPECT_EQ(run({"fusermount3", "-u", mountpoint}).code, 0);
}

TEST(MountPoint, WithoutName_DirectoryHasTheVmsName) {
  GuestOptions options;
  options.name = "web 01";
  QemuGuest guest{options};
  Mount mount{{"--vm", fmt::format("qemu:pid={}", guest.pid())}};
  EXPECT_TRUE(std::filesystem::exists(mount / "web 01/mem"));
}

// The kernel lets nobody else in, whatever the mode says.
TEST(MountPoint, ModeForOthersWithoutAllowOther_IsWarnedOf) {
  const Mount alone{{"--vm", "vm=fake:mode=0640"}};
  EXPECT_THAT(alone.log(), HasSubstr("mode=0640 of vm gives nobody else access"));
  write_file(alone / ".vmemfs/control", "attach late=fake:mode=0604\n");
  EXPECT_THAT(alone.log(), HasSubstr("mode=0604 of late gives nobody else access"));
  const Mount shared{{"--vm", "vm=fake:mode=0640", "-o", "allow_other"}};
  EXPECT_THAT(shared.log(), testing::Not(HasSubstr("gives nobody else access")));
  const Mount usual{{"--vm", "vm=fake:mode=0400"}};
  EXPECT_THAT(usual.log(), testing::Not(HasSubstr("gives nobody else access")));
}

struct BadCommand {
  std::vector<std::string> args;
  int code;
  std::string complaint;
};
class BadCommandLine : public testing::TestWithParam<BadCommand> {};

TEST_P(BadCommandLine, IsRefusedWithAMessage) {
  TempDir dir;
  std::filesystem::create_directory(dir / "mnt");
  std::vector<std::string> args{VMEMFS_PROGRAM};
  for (const std::string& arg : GetParam().args) {
    args.push_back(arg == "MNT" ? dir / "mnt" : arg);
  }
  const auto result = run(args);
  EXPECT_EQ(result.code, GetParam().code);
  EXPECT_THAT(result.text, HasSubstr(GetParam().complaint));
  EXPECT_FALSE(is_mountpoint(dir / "mnt"));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, BadCommandLine,
    testing::Values(
        BadCommand{{}, 2, "MOUNTPOINT is missing"}, BadCommand{{"--no-discover", "MNT"}, 2, "no VM is named"},
        BadCommand{{"--bogus", "MNT"}, 2, "--bogus"}, BadCommand{{"--vm", "=x", "MNT"}, 2, "no name"},
        BadCommand{{"--vm", "a=nope:x=1", "MNT"}, 2, "there is no driver 'nope' here; there are "},
        BadCommand{{"--discover", "nope", "MNT"}, 2, "there is no driver 'nope'"},
        BadCommand{{"--discover", "fake", "MNT"}, 2, "finds no VMs by itself"},
        BadCommand{{"--discover", "gdbstub:address=/run/web01.gdb", "MNT"}, 2, "finds no VMs by itself"},
        BadCommand{{"--discover", "qemu:pid=1", "MNT"}, 2, "there is no parameter 'pid'"},
        BadCommand{{"--discover", "qemu", "--no-discover", "MNT"}, 2, "exclude each other"},
        BadCommand{{"--vm", "a=qemu", "MNT"}, 2, "one of qmp, pid, name is needed"},
        BadCommand{{"--vm", "a=qemu:qmp=/nonexistent", "MNT"}, 1, "cannot connect to '/nonexistent'"},
        BadCommand{{"--vm", "a=qemu:pid=1", "MNT"}, 1, "is not a QEMU"},
        BadCommand{{"--vm", "a=qemu:pid=0", "MNT"}, 2, "pid: '0' is not allowed; it takes a number, 1 to"},
        BadCommand{{"--vm", "a=qemu:name=nobody-has-this", "MNT"}, 1, "no running QEMU has -name"},
        BadCommand{{"--vm", "a=dump:path=/nonexistent", "MNT"}, 1, "cannot open '/nonexistent'"},
        BadCommand{{"--vm", "a=dump", "MNT"}, 2, "path is missing"},
        BadCommand{{"--vm", "a=fake:size=0", "MNT"}, 2, "size: '0' is not allowed"},
        BadCommand{{"--vm", "a=fake:holes=5", "MNT"}, 1, "'5' is not a range"},
        BadCommand{{"--vm", "a/b=fake", "MNT"}, 2, "cannot be a VM's name"},
        BadCommand{{"--vm", "a=fake", "--vm", "a=fake", "MNT"}, 1, "there is a VM 'a' already"},
        BadCommand{{"--vm", "a=fake", "/nonexistent/dir"}, 1, "there is no directory"},
        BadCommand{{"--vm", "a=fake", "/dev/null"}, 1, "is not a directory"},
        BadCommand{{"--vm", "a=fake", "-o", "nonsense_option", "MNT"}, 1, "refused the options"},
        BadCommand{
            {"--vm", "a=fake:siz=1,vcpus=9999,mode=9,owner=no-such", "MNT"},
            2,
            "there is no parameter 'siz' (known: size, vcpus, holes, roms, bad, delay, pattern, writable,"},
        BadCommand{{"--vm", "a=fake:siz=1,vcpus=9999,mode=9,owner=no-such", "MNT"},
                   2,
                   "vcpus: '9999' is not allowed; it takes a number, at most 4096"},
        BadCommand{
            {"--vm", "a=fake:siz=1,vcpus=9999,mode=9,owner=no-such", "MNT"}, 2, "mode: '9' is not allowed"},
        BadCommand{{"--vm", "a=fake:siz=1,vcpus=9999,mode=9,owner=no-such", "MNT"},
                   2,
                   "owner: 'no-such' is not allowed"},
        BadCommand{
            {"--vm", "a=fake:siz=1", "--vm", "b=nope", "--cache-size", "x"}, 2, "MOUNTPOINT is missing"},
        BadCommand{{"--vm", "a=fake:siz=1", "--vm", "b=nope", "--cache-size", "x"}, 2, "no driver 'nope'"},
        BadCommand{{"--vm", "a=fake:siz=1", "--vm", "b=nope", "--cache-size", "x"}, 2, "no parameter 'siz'"},
        BadCommand{
            {"--cache-size", "lots", "MNT"}, 2, "--cache-size: 'lots' is not allowed; it takes a size"},
        BadCommand{
            {"--cache-ttl", "25h", "MNT"}, 2, "--cache-ttl: '25h' is not allowed; it takes a duration"},
        BadCommand{{"--cache-ttl", "5", "MNT"}, 2, "a number with ms, s, m, h or d"},
        BadCommand{{"-o", "cache_ttl=2000m", "MNT"}, 2, "at most 1d"},
        BadCommand{{"--vm", "nobody-has-this", "MNT"},
                   1,
                   "qemu: no running QEMU has -name nobody-has-this; use pid= or qmp= instead"},
        BadCommand{{"--vm", "a=:pid=1,path=/nonexistent", "MNT"},
                   1,
                   "\n  dump: cannot open '/nonexistent': No such file or directory\n"},
        BadCommand{{"--vm", "a=:nonsense=1", "MNT"}, 2, "no driver has a parameter 'nonsense'"},
        BadCommand{{"--config", "/nonexistent", "MNT"}, 2, "/nonexistent: cannot read it: No such file"},
        BadCommand{{"drivers", "nope"}, 1, "there is no driver 'nope'"}));

} // namespace
} // namespace vmemfs::test
