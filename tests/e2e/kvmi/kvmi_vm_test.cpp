// SPDX-License-Identifier: MIT
// The driver `kvmi` in a mount, with VMs of the simulator.
#include "simulators/kvmi/simulator.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using kvmi_simulator::Dialect;
using kvmi_simulator::Guest;
using kvmi_simulator::Simulator;
using testing::HasSubstr;

std::vector<std::byte> expected(std::uint64_t gpa, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = std::byte{kvmi_simulator::pattern(gpa + i)};
  }
  return bytes;
}

TEST(KvmiVm, MemoryRegistersAndPause_OfBothDialects) {
  for (const Dialect dialect : {Dialect::tree, Dialect::v12}) {
    TempDir dir;
    const auto guest = std::make_shared<Guest>(kvmi_simulator::GuestOptions{});
    Simulator simulator{guest, {.socket = dir / "kvmi.sock", .dialect = dialect}};
    Mount mount{{"--writable", "--vm",
                 fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s", dir / "kvmi.sock")}};
    const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
    ASSERT_TRUE(mem) << mount.log();
    EXPECT_EQ(pread_at(mem.get(), 0x100000, 1 << 20).bytes, expected(0x100000, 1 << 20)) << mount.log();
    EXPECT_EQ(pread_at(mem.get(), 0xa0000, 16).error, EIO);
    EXPECT_THAT(read_file(mount / "vm/maps"), HasSubstr("0000000000100000-0000000000800000 rw- ram"));
    EXPECT_THAT(read_file(mount / "vm/vcpus/1/regs"), HasSubstr("rbx 0x0000000000002001"));
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
    EXPECT_EQ(simulator.waiting_vcpus(), 2U);
    EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("paused_by vmemfs"));
    EXPECT_EQ(try_write(mount / "vm/control", "pause keep\n"), EOPNOTSUPP);
    EXPECT_EQ(::pwrite(mem.get(), "vmemfs", 6, 0x123ffd), 6);
    EXPECT_EQ(guest->bytes(0x123ffd, 6)[5], std::byte{'s'});
    ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
    EXPECT_TRUE(eventually([&] { return simulator.waiting_vcpus() == 0; }));
    EXPECT_THAT(simulator.seen().violations, testing::IsEmpty());
  }
}

TEST(KvmiVm, SequentialRead_With1msOfLatency_TakesTwoRoundTripsAMebibyteAtMost) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{.ram = {{0, 16 << 20}}}),
                      {.socket = dir / "kvmi.sock", .latency = std::chrono::milliseconds{1}}};
  Mount mount{
      {"--vm", fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s", dir / "kvmi.sock")}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  simulator.reset_counts();
  constexpr std::size_t kMebibyte = 1 << 20;
  for (std::size_t at = 0; at < 16 * kMebibyte; at += kMebibyte) {
    ASSERT_EQ(pread_at(mem.get(), at, kMebibyte).bytes, expected(at, kMebibyte));
  }
  EXPECT_LE(simulator.seen().flights, 2U * 16);
}

TEST(KvmiVm, BatchOf1000RandomPages_With1msOfLatency_TakesTwoRoundTrips) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{.ram = {{0, 16 << 20}}}),
                      {.socket = dir / "kvmi.sock", .latency = std::chrono::milliseconds{1}}};
  Mount mount{
      {"--vm", fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s", dir / "kvmi.sock")}};
  const UniqueFd batch{::open((mount / "vm/batch").c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(batch) << mount.log();
  constexpr std::uint64_t kPages = 1000;
  constexpr std::size_t kPage = 4096;
  std::string request = "VMBATCH1";
  const auto page = [](std::uint64_t i) { return i * 7919 % 4096 * kPage; };
  for (std::uint64_t i = 0; i < kPages; ++i) {
    const std::uint64_t range[2] = {page(i), kPage};
    request.append(reinterpret_cast<const char*>(range), sizeof range);
  }
  ASSERT_EQ(::pwrite(batch.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  simulator.reset_counts();
  const auto answer = pread_at(batch.get(), 0, kPages * (kPage + 16)).bytes;
  EXPECT_LE(simulator.seen().flights, 2U);
  ASSERT_EQ(answer.size(), kPages * (kPage + 16));
  for (std::uint64_t i = 0; i < kPages; ++i) {
    const auto begin = answer.begin() + static_cast<std::ptrdiff_t>(i * kPage);
    ASSERT_TRUE(std::equal(begin, begin + kPage, expected(page(i), kPage).begin())) << i;
  }
}

TEST(KvmiVm, Reset_IsSurvivedByOpenFiles) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{}), {.socket = dir / "kvmi.sock"}};
  Mount mount{{"--vm", fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s,reconnect=60s",
                                   dir / "kvmi.sock")}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  simulator.disconnect();
  EXPECT_TRUE(
      eventually([&] { return pread_at(mem.get(), 0x100000, 4096).bytes == expected(0x100000, 4096); }));
  EXPECT_TRUE(eventually([&] {
    return line_with(read_file(mount / "vm/control"), "state") == "state running";
  })) << read_file(mount / "vm/control");
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(simulator.waiting_vcpus(), 2U);
}

TEST(KvmiVm, SocketIsTheUsersAlone_AndGoesWithTheMount) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{}), {.socket = dir / "kvmi.sock"}};
  Mount mount{
      {"--vm", fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s", dir / "kvmi.sock")}};
  struct stat file {};
  ASSERT_EQ(::stat((dir / "kvmi.sock").c_str(), &file), 0) << mount.log();
  EXPECT_EQ(file.st_mode, mode_t{S_IFSOCK | 0600});
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_FALSE(exists(dir / "kvmi.sock"));
}

TEST(KvmiVm, AttachedAndDetachedByHand_WhileTheMountListens) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{}), {.socket = dir / "kvmi.sock"}};
  Mount mount{{"--vm", "other=fake:size=1M"}};
  const std::string attach =
      fmt::format("attach vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s\n", dir / "kvmi.sock");
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(try_write(mount / ".vmemfs/control", attach), 0) << mount.log();
    const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    EXPECT_EQ(pread_at(mem.get(), 0x100000, 4096).bytes, expected(0x100000, 4096));
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
    ASSERT_EQ(try_write(mount / ".vmemfs/control", "detach vm\n"), 0) << mount.log();
    EXPECT_TRUE(eventually([&] { return simulator.waiting_vcpus() == 0; }));
  }
  EXPECT_EQ(simulator.seen().connections, 1U);
  EXPECT_NE(try_write(mount / ".vmemfs/control", "attach none=kvmi:socket=/proc/kvmi.sock,domain=a\n"), 0);
}

TEST(KvmiVm, DaemonKilledDuringAPause_TheVmRuns) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{}), {.socket = dir / "kvmi.sock"}};
  Mount mount{
      {"--vm", fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s", dir / "kvmi.sock")}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(simulator.waiting_vcpus(), 2U);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return !simulator.connected(); })); // which is how the kernel learns of it
}

/// The address sanitizer refuses to come after a library that is preloaded; this one replaces nothing of it.
std::string sanitizer_options() {
  const char* const given = std::getenv("ASAN_OPTIONS");
  return fmt::format("ASAN_OPTIONS={}:verify_asan_link_order=0", given != nullptr ? given : "");
}

/// By the real daemon, with its privileges and its filter of system calls; the stand-in of the device is
/// preloaded (see tests/simulators/kvmi/memory_device.h).
TEST(KvmiVm, MappedPages_AreTheGuests_AndVanishedOnesDoNotEndTheDaemon) {
  for (const unsigned is_second : {0U, 1U}) {
    TempDir dir;
    const auto device = std::make_shared<kvmi_simulator::MemoryDevice>(dir.path());
    device->ledger().is_second_abi = is_second;
    const auto guest = std::make_shared<Guest>(kvmi_simulator::GuestOptions{});
    guest->show_in(device);
    Simulator simulator{guest, {.socket = dir / "kvmi.sock", .device = device}};
    Mount mount{
        {"--vm", fmt::format("vm=kvmi:socket={},domain=simulated,timeout=60s,wait=60s,memory_device={}",
                             dir / "kvmi.sock", device->path())},
        Discover::off,
        RunAs{{"env", sanitizer_options(), "LD_PRELOAD=" VMEMFS_KVMMEM_STAND_IN}, ::geteuid()}};
    UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    const auto reads = [&] { return pread_at(mem.get(), 0x200000, 4096).bytes == expected(0x200000, 4096); };
    ASSERT_TRUE(eventually([&] {
      const unsigned before = simulator.seen().reads;
      return reads() && simulator.seen().reads == before;
    })) << mount.log();
    EXPECT_GE(device->mapped_pages_of(mount.daemon().pid()), 1U);
    EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("pages are mapped"));
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
    EXPECT_EQ(device->mapped_pages_of(mount.daemon().pid()), 0U);
    ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
    EXPECT_TRUE(eventually([&] { return reads() && device->ledger().pages > 0; }));
    device->cut(0x200000);
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(reads()) << mount.log();
    }
    EXPECT_FALSE(mount.daemon().wait({}));
    EXPECT_EQ(device->ledger().violations, 0U);
    mem = UniqueFd{};
    EXPECT_EQ(mount.unmount(), 0);
    EXPECT_EQ(device->ledger().pages, 0U);
  }
}

TEST(KvmiVm, List_WaitsForAVmToConnect) {
  TempDir dir;
  Simulator simulator{std::make_shared<Guest>(kvmi_simulator::GuestOptions{.name = "web01"}),
                      {.socket = dir / "kvmi.sock"}};
  const auto listed =
      run({VMEMFS_PROGRAM, "list", "--discover", fmt::format("kvmi:socket={}", dir / "kvmi.sock")});
  EXPECT_EQ(listed.code, 0) << listed.text;
  EXPECT_THAT(line_with(listed.text, "web01"), HasSubstr("11111111-2222-3333-4444-555555555501"))
      << listed.text;
  EXPECT_FALSE(exists(dir / "kvmi.sock"));
}

TEST(KvmiVm, ManyVmsOfOneSocket_AreDiscovered_AndOneThatEndsLeaves) {
  TempDir dir;
  const std::string socket = dir / "kvmi.sock";
  std::vector<std::unique_ptr<Simulator>> simulators;
  for (std::uint8_t i = 1; i <= 5; ++i) {
    simulators.push_back(std::make_unique<Simulator>(
        std::make_shared<Guest>(kvmi_simulator::GuestOptions{.name = fmt::format("web0{}", i), .number = i}),
        kvmi_simulator::Options{.socket = socket, .dialect = i % 2 == 0 ? Dialect::v12 : Dialect::tree}));
  }
  ChildProcess process{{VMEMFS_KVMI_SIMULATOR, socket, "process"}, dir / "log"};
  Mount mount{{"--discover", fmt::format("kvmi:socket={},timeout=60s,reconnect=60m", socket)}, Discover::on};
  for (int i = 1; i <= 5; ++i) {
    const std::string mem = fmt::format("web0{}/mem", i);
    ASSERT_TRUE(eventually([&] { return exists(mount / mem); })) << mount.log();
    const UniqueFd file{::open((mount / mem).c_str(), O_RDONLY | O_CLOEXEC)};
    EXPECT_EQ(pread_at(file.get(), 0x100000, 8192).bytes, expected(0x100000, 8192));
  }
  // A VM without a connection is waited for for an hour here, but not if its process has ended.
  ASSERT_TRUE(eventually([&] { return exists(mount / "process/mem"); })) << mount.log();
  process.signal(SIGKILL);
  static_cast<void>(process.wait(std::chrono::seconds{30}));
  EXPECT_TRUE(eventually([&] { return !exists(mount / "process"); }));
  EXPECT_TRUE(exists(mount / "web01/mem"));
}

/// Names come from outside: each is one file name, and tells no lies in the log.
TEST(KvmiVm, HostileNames_AreOneNameEach_AndOthersAreServed) {
  TempDir dir;
  const std::string socket = dir / "kvmi.sock";
  std::vector<std::unique_ptr<Simulator>> simulators;
  const std::vector<std::string> names{"../../etc", "a/b",  "two\nlines", "\x1b[2J", ".",
                                       "..",        "same", "same",       ".vmemfs"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    simulators.push_back(
        std::make_unique<Simulator>(std::make_shared<Guest>(kvmi_simulator::GuestOptions{
                                        .name = names[i], .number = static_cast<std::uint8_t>(i + 1)}),
                                    kvmi_simulator::Options{.socket = socket}));
  }
  Mount mount{{"--discover", fmt::format("kvmi:socket={},timeout=60s,reconnect=60m", socket)}, Discover::on};
  const auto vms = [&] {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{mount.path()}) {
      if (exists(entry.path().string() + "/mem")) {
        found.push_back(entry.path().filename());
      }
    }
    return found;
  };
  EXPECT_TRUE(eventually([&] { return vms().size() == names.size(); })) << vms().size() << mount.log();
  for (const std::string& name : vms()) {
    EXPECT_EQ(name.find_first_of("\n\x1b"), std::string::npos) << name;
    const UniqueFd mem{::open((mount / (name + "/mem")).c_str(), O_RDONLY | O_CLOEXEC)};
    EXPECT_EQ(pread_at(mem.get(), 0x100000, 4096).bytes, expected(0x100000, 4096)) << name;
  }
  EXPECT_EQ(mount.log().find('\x1b'), std::string::npos);
}

} // namespace
} // namespace vmemfs::test
