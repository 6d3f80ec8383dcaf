// SPDX-License-Identifier: MIT
// What goes wrong between libvirt and its domains, or on the way to them, and what guests do by themselves.
#include "e2e/libvirt/domains.h"
#include "support/free_port.h"
#include "support/users.h"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

class LibvirtTrouble : public Libvirt {};

/// A port that takes connections and never says anything.
class SilentServer {
public:
  SilentServer() {
    if (::listen(bound_.socket.get(), 64) != 0) {
      throw std::runtime_error{"no silent server"};
    }
  }
  [[nodiscard]] std::string uri() const { return fmt::format("qemu+tcp://127.0.0.1:{}/system", bound_.port); }

private:
  BoundSocket bound_ = bind_to_free_port();
};

std::size_t entries_of(const std::string& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{directory}, {}));
}

/// libvirt waits for such a one without end. We do not, and its host's other domains are none the worse for
/// it.
TEST_F(LibvirtTrouble, AQemuThatHangsIsGivenUpAndComesBack) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  DomainOptions options;
  options.monitor_for_test = false;
  for (const char* const name : {"web01", "web02", "web03"}) {
    options.name = name;
    host.create(options);
  }
  const Mount mount{discover({host.tcp_uri()}), Discover::on};
  ASSERT_TRUE(eventually([&] {
    return exists(mount / "web01/mem") && exists(mount / "web02/mem") && exists(mount / "web03/mem");
  })) << mount.log();
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::atomic<int> reads{0};
  std::jthread reader{[&] {
    const UniqueFd mem = open_mem(mount, "web03");
    while (!stop) {
      failed += pread_at(mem.get(), 2 * kMiB, 4096).bytes.size() == 4096 ? 0 : 1;
      ++reads;
    }
  }};
  const std::array<pid_t, 2> qemus{host.pid_of("web01"), host.pid_of("web02")};
  const UniqueFd mem = open_mem(mount, "web01");
  const UniqueFd other = open_mem(mount, "web02");
  for (const pid_t qemu : qemus) {
    ::kill(qemu, SIGSTOP);
  }
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> readers; // more of them than the connection has places
    for (std::uint64_t i = 0; i < 8; ++i) {
      readers.emplace_back([&, i] { EXPECT_EQ(pread_at(other.get(), (4 + i) * kMiB, 8).error, EIO); });
      readers.emplace_back([&, i] { EXPECT_EQ(pread_at(mem.get(), (4 + i) * kMiB, 8).error, EIO); });
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 40s); // for a turn, and for an answer
  const auto later = std::chrono::steady_clock::now();
  EXPECT_EQ(pread_at(mem.get(), 20 * kMiB, 8).error, EIO);
  EXPECT_EQ(try_write(mount / "web01/control", "resume\n"), ETIMEDOUT);
  EXPECT_LT(std::chrono::steady_clock::now() - later, 5s);
  EXPECT_THAT(status(mount, "web01", "last_error"), HasSubstr("'web01' does not answer"));
  const int so_far = reads;
  EXPECT_TRUE(eventually([&] { return reads > so_far + 10; }));
  for (const pid_t qemu : qemus) {
    ::kill(qemu, SIGCONT);
  }
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 4 * kMiB, 8).bytes.size() == 8; })) << mount.log();
  EXPECT_TRUE(eventually([&] { return pread_at(other.get(), 4 * kMiB, 8).bytes.size() == 8; }))
      << mount.log();
  stop = true;
  reader.join();
  EXPECT_EQ(failed, 0) << "of " << reads << mount.log();
}

/// Nor does the end of the mount wait for it.
TEST_F(LibvirtTrouble, AMountEndsWhileAQemuHangs) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  DomainOptions options;
  options.monitor_for_test = false;
  host.create(options);
  Mount mount{{"--vm", domain(host.tcp_uri(), "web01")}};
  ::kill(host.pid_of("web01"), SIGSTOP);
  EXPECT_EQ(pread_at(open_mem(mount, "web01").get(), 2 * kMiB, 8).error, EIO);
  EXPECT_EQ(mount.unmount(), 0) << mount.log();
}

/// A command that was given up may get through later; a caller that got a failure does not expect that.
TEST_F(LibvirtTrouble, APauseThatComesTooLateIsTakenBack) {
  LibvirtHost host;
  DomainOptions options;
  options.monitor_for_test = false;
  host.create(options);
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  const pid_t qemu = host.pid_of("web01");
  ::kill(qemu, SIGSTOP);
  EXPECT_EQ(try_write(mount / "web01/control", "pause\n"), ETIMEDOUT) << mount.log();
  EXPECT_EQ(pread_at(open_mem(mount, "web01").get(), 2 * kMiB, 8).bytes.size(), 8U);
  ::kill(qemu, SIGCONT);
  EXPECT_TRUE(eventually([&] { return status(mount, "web01", "state") == "running"; })) << mount.log();
  std::this_thread::sleep_for(1500ms); // longer than what is in doubt is left alone
  EXPECT_EQ(host.state_of("web01"), "running") << mount.log();
}

/// Opening a connection cannot be cut short; but it is not tried twice at the same time.
TEST_F(LibvirtTrouble, AHostThatTakesConnectionsAndSaysNothingCostsOneConnection) {
  const SilentServer discovered;
  const SilentServer by_hand;
  Mount mount{discover({discovered.uri()}), Discover::on};
  const std::string process = fmt::format("/proc/{}/", mount.daemon().pid());
  const auto attach = [&] {
    return try_write(mount / ".vmemfs/control",
                     fmt::format("attach far=libvirt:uri={},domain=x,timeout=300ms\n", by_hand.uri()));
  };
  EXPECT_NE(attach(), 0);
  const std::size_t threads = entries_of(process + "task");
  const std::size_t descriptors = entries_of(process + "fd");
  constexpr std::size_t kTries = 8;
  for (std::size_t i = 0; i < kTries; ++i) {
    EXPECT_NE(attach(), 0);
  }
  // FUSE itself takes a thread more now and then.
  EXPECT_LT(entries_of(process + "task"), threads + kTries / 2);
  EXPECT_LT(entries_of(process + "fd"), descriptors + kTries / 2);
}

/// As virsh does without -c.
TEST_F(LibvirtTrouble, TheDefaultConnectionIsLibvirts) {
  LibvirtHost host;
  DomainOptions bare;
  bare.kernel = false;
  host.create(bare);
  const std::vector<std::string> chosen{"env", "LIBVIRT_DEFAULT_URI=" + host.uri()};
  const Mount mount{{"--discover", "libvirt"}, Discover::on, RunAs{chosen, ::geteuid()}};
  EXPECT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
  const auto check = [&] {
    return line_with(run(joined(chosen, {VMEMFS_PROGRAM, "check"})).text, "domains of libvirt");
  };
  EXPECT_THAT(check(), AllOf(StartsWith("yes "), HasSubstr(host.uri() + ": 1 running")));
  host.kill_daemon();
  EXPECT_THAT(check(), AllOf(StartsWith("no "), HasSubstr("is the daemon (libvirtd, virtqemud) running")));
}

/// An absent VM looks like one that cannot be seen, unless the error is reported.
TEST_F(LibvirtTrouble, AHostThatCantBeReachedIsTold) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  DomainOptions bare;
  bare.kernel = false;
  host.create(bare);
  host.kill_daemon();
  const Mount mount{discover({host.tcp_uri()}), Discover::on};
  const auto line = [&] {
    return line_with(read_file(mount / ".vmemfs/control"), "discovery_failed libvirt: ");
  };
  EXPECT_TRUE(eventually([&] { return line().find("refused") != std::string::npos; }));
  EXPECT_THAT(line(), AllOf(HasSubstr(host.tcp_uri()), HasSubstr("refused"),
                            HasSubstr("virsh -c '" + host.tcp_uri() + "' list")));
  Events events{mount};
  host.start_daemon();
  ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
  EXPECT_EQ(line(), "");
  host.kill_daemon();
  EXPECT_TRUE(events.wait_for("cannot scan for VMs: libvirt: ")) << events.text();
  EXPECT_TRUE(eventually([&] { return !line().empty(); }));
  EXPECT_TRUE(exists(mount / "web01/mem")) << "it is taken to be there still";
  host.start_daemon();
  EXPECT_TRUE(eventually([&] { return line().empty(); })) << line();
}

TEST_F(LibvirtTrouble, AListOfSeveralHostsTellsWhichOfThemIsMissing) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  LibvirtHost missing{LibvirtHost::Listen::tcp};
  DomainOptions bare;
  bare.kernel = false;
  host.create(bare);
  missing.kill_daemon();
  const auto list = [](const std::vector<std::string>& args) {
    return run(joined({VMEMFS_PROGRAM, "list"}, args));
  };
  const auto whole = list(discover({host.tcp_uri(), host.uri()}));
  EXPECT_EQ(whole.code, 0) << whole.text;
  EXPECT_THAT(line_with(whole.text, "web01 "), ContainsRegex("^web01 +libvirt +[0-9]+ +[-0-9a-f]{36} +yes"));
  const auto part = list(discover({host.tcp_uri(), missing.tcp_uri()}));
  EXPECT_EQ(part.code, 1);
  EXPECT_THAT(line_with(part.text, "web01 "), HasSubstr(" yes"));
  EXPECT_THAT(line_with(part.text, "vmemfs: cannot scan for VMs: libvirt: "), HasSubstr(missing.tcp_uri()));

  // As the configuration has it, too.
  const TempDir dir;
  write_file(dir / "config.toml",
             fmt::format("[mount]\ndiscover_with = 'libvirt:uri={},host=on'\n", host.tcp_uri()));
  EXPECT_THAT(list({"--config", dir / "config.toml"}).text, ContainsRegex(":web01 +libvirt .*yes"));
  write_file(dir / "config.toml", "[mount]\ndiscover_with = 'libvirt:domain=web01'\n");
  const auto wrong = list({"--config", dir / "config.toml"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.text, HasSubstr("there is no parameter 'domain'"));
}

TEST_F(LibvirtTrouble, AGuestThatRebootsByItselfIsTold) {
  LibvirtHost host;
  DomainOptions bare;
  bare.kernel = false;
  bare.more_os = "<bios rebootTimeout='500'/>"; // of the firmware, which finds nothing to boot
  host.create(bare);
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  Events events{mount};
  EXPECT_TRUE(events.wait_for("\"event\":\"reset\"", 30s)) << events.text() << mount.log();
}

/// Memory cached while the guest slept is stale once it is awake.
TEST_F(LibvirtTrouble, AGuestThatSleepsAndWakesIsNoOldMemory) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  DomainOptions sleeper;
  sleeper.arguments = "sleep";
  sleeper.monitor_for_test = false;
  host.create(sleeper);
  ASSERT_TRUE(eventually([&] { return host.state_of("web01") == "pmsuspended"; })) << host.state_of("web01");
  const Mount mount{{"--vm", domain(host.tcp_uri(), "web01")}};
  EXPECT_EQ(status(mount, "web01", "state"), "pmsuspended");
  EXPECT_NE(try_write(mount / "web01/control", "pause\n"), 0) << "it would run when it wakes";
  const UniqueFd mem = open_mem(mount, "web01");
  const auto asleep = pread_at(mem.get(), 0, 0x1000);
  const std::string epoch = info(mount, "web01")["epoch"].dump();
  Events events{mount};
  host.virsh({"dompmwakeup", "web01"});
  EXPECT_TRUE(events.wait_for("\"event\":\"resumed\"")) << events.text() << mount.log();
  EXPECT_NE(info(mount, "web01")["epoch"].dump(), epoch);
}

TEST_F(LibvirtTrouble, AQemuThatDiesIsGoneAtOnce) {
  LibvirtHost host;
  DomainOptions bare;
  bare.kernel = false;
  host.create(bare);
  const Mount mount{discover({host.uri()}), Discover::on};
  ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
  const UniqueFd mem = open_mem(mount, "web01");
  ::kill(host.pid_of("web01"), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "web01"); }));
  EXPECT_EQ(pread_at(mem.get(), 0, 16).error, ENODEV);
}

TEST_F(LibvirtTrouble, WhoMayNotTalkToTheDaemonIsToldWhatHelps) {
  LibvirtHost host;
  std::filesystem::permissions(host.dir() / "sockets", std::filesystem::perms::owner_all);
  std::filesystem::permissions(host.dir().path(), std::filesystem::perms::all);
  constexpr uid_t kOrdinary = 65534;
  const TempDir dir;
  give(dir.path(), kOrdinary);
  const auto refused = run(joined(as_user(kOrdinary), {VMEMFS_PROGRAM, "-f", "--no-discover", "--vm",
                                                       domain(host.uri(), "web01"), dir.path()}));
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.text, HasSubstr("a user of the group libvirt"));
}

/// "No memory grown by reading" is not ours to promise where QEMU does the reading.
TEST_F(LibvirtTrouble, MemoryThatReadingWouldAllocateTakesConsent) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  DomainOptions shared;
  shared.more = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
  shared.monitor_for_test = false;
  host.create(shared);
  const Mount mount{discover({host.tcp_uri()}), Discover::on};
  EXPECT_TRUE(eventually([&] {
    return read_file(mount / ".vmemfs/control").find("memory=peek says that this is all right") !=
           std::string::npos;
  })) << read_file(mount / ".vmemfs/control")
      << mount.log();
  const Mount consented{{"--vm", domain(host.tcp_uri(), "web01", ",memory=peek")}};
  EXPECT_EQ(pread_at(open_mem(consented, "web01").get(), 2 * kMiB, 8).bytes.size(), 8U);
  EXPECT_THAT(info(consented, "web01")["access"]["ram"].get<std::string>(), HasSubstr("allocates"));
}

/// A dozen that come at once, one of them with a description of 3 MB, and go at once.
TEST_F(LibvirtTrouble, ManyAtOnceAndAHugeDescription) {
  LibvirtHost host;
  const Mount mount{discover({host.uri()}), Discover::on};
  constexpr int kMany = 12;
  std::vector<std::jthread> starting;
  for (int i = 0; i < kMany; ++i) {
    DomainOptions bare;
    bare.kernel = false;
    bare.memory_mib = 16;
    bare.name = fmt::format("many{}", i);
    if (i == 0) {
      bare.more = "<description>" + std::string(3'000'000, 'x') + "</description>";
    }
    const std::string file = host.dir() / (bare.name + ".xml");
    write_file(file, host.xml(bare));
    starting.emplace_back([&host, file] { host.virsh({"create", file}); });
  }
  starting.clear();
  for (int i = 0; i < kMany; ++i) {
    EXPECT_TRUE(eventually([&] { return exists(mount / fmt::format("many{}/mem", i)); })) << i << mount.log();
  }
  for (int i = 0; i < kMany; ++i) {
    starting.emplace_back([&host, i] { host.virsh({"destroy", fmt::format("many{}", i)}); });
  }
  starting.clear();
  EXPECT_TRUE(eventually([&] { return entries_of(mount.path()) == 1; })) << mount.log(); // .vmemfs
}

} // namespace
} // namespace vmemfs::test
