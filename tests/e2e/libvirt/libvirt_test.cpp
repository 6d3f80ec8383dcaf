// SPDX-License-Identifier: MIT
// Domains of a real libvirtd, seen through the mount of the real daemon; virsh is what users use beside it.
#include "e2e/libvirt/domains.h"
#include "support/users.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

struct Load {
  std::uint64_t gpa;
  std::string bytes;
};

/// The memory that an ELF core has.
std::vector<Load> loads_of(const std::string& core) {
  Elf64_Ehdr header{};
  std::memcpy(&header, core.data(), sizeof(header));
  std::vector<Load> loads;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    std::memcpy(&part, core.data() + header.e_phoff + i * sizeof(part), sizeof(part));
    if (part.p_type == PT_LOAD && part.p_filesz > 0) {
      loads.push_back({part.p_paddr, core.substr(part.p_offset, part.p_filesz)});
    }
  }
  return loads;
}

/// Compares guest memory with what `virsh dump` writes, wherever both have some; how much that was.
std::uint64_t compare_with_dump(const LibvirtHost& host, const Mount& mount, const std::string& vm) {
  const std::string file = host.dir() / "dump";
  host.virsh({"dump", "--memory-only", "--format", "elf", vm, file});
  const UniqueFd mem = open_mem(mount, vm);
  std::uint64_t equal = 0;
  for (const Load& load : loads_of(read_file(file))) {
    for (std::uint64_t at = 0; at < load.bytes.size(); at += 64 << 10U) {
      const std::size_t size = std::min<std::uint64_t>(64 << 10U, load.bytes.size() - at);
      const auto read = pread_at(mem.get(), load.gpa + at, size);
      const bool same = std::memcmp(read.bytes.data(), load.bytes.data() + at, read.bytes.size()) == 0;
      EXPECT_TRUE(same) << std::hex << load.gpa + at;
      equal += same ? read.bytes.size() : 0;
    }
  }
  return equal;
}

TEST_F(Libvirt, MemoryOfALocalDomainIsWhatVirshDumpHas) {
  LibvirtHost host;
  host.create();
  host.virsh({"suspend", "web01"});
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  EXPECT_GE(compare_with_dump(host, mount, "web01"), 63 * kMiB);
  const json all = info(mount, "web01");
  EXPECT_EQ(all["driver"], "libvirt");
  EXPECT_THAT(all["access"]["ram"].get<std::string>(), HasSubstr("process_vm_readv"));
  EXPECT_THAT(all["probe"].dump(), HasSubstr("driver qemu for memory"));
}

TEST_F(Libvirt, StateIsLibvirtsAndForeignCommandsAreEpochs) {
  LibvirtHost host;
  host.create();
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  ASSERT_EQ(try_write(mount / "web01/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(host.state_of("web01"), "paused");
  EXPECT_EQ(status(mount, "web01", "paused_by"), "vmemfs");
  ASSERT_EQ(try_write(mount / "web01/control", "resume\n"), 0);
  EXPECT_EQ(host.state_of("web01"), "running");

  const std::string before = status(mount, "web01", "epoch");
  host.virsh({"suspend", "web01"});
  EXPECT_TRUE(eventually([&] { return status(mount, "web01", "paused_by") == "other"; }));
  const std::string paused = status(mount, "web01", "epoch");
  EXPECT_NE(paused, before);
  host.virsh({"resume", "web01"});
  // Without a status being asked for: libvirt tells.
  EXPECT_TRUE(eventually([&] { return info(mount, "web01")["epoch"].dump() != paused; }));
  EXPECT_EQ(status(mount, "web01", "state"), "running");

  Events events{mount};
  host.virsh({"reset", "web01"});
  EXPECT_TRUE(events.wait_for("\"event\":\"reset\"")) << events.text();
}

TEST_F(Libvirt, TheMonitorIsLeftAloneWithoutConsent) {
  LibvirtHost host;
  DomainOptions plain;
  plain.monitor_for_test = false;
  host.create(plain);
  const auto is_tainted = [&] {
    return host.virsh({"dominfo", "web01"}).find("custom monitor") != std::string::npos;
  };
  {
    const Mount mount{{"--vm", domain(host.uri(), "web01"), "--vm",
                       "far=libvirt:memory=peek,domain=web01,uri=" + host.uri()}};
    for (const std::string vm : {"web01", "far"}) {
      EXPECT_GT(read_file(mount / (vm + "/maps")).size(), 10U);
      EXPECT_THAT(info(mount, vm)["access"]["registers"].get<std::string>(), HasSubstr("passthrough=on"));
      EXPECT_THROW(static_cast<void>(read_file(mount / (vm + "/vcpus/0/regs"))), std::system_error);
    }
    EXPECT_THAT(info(mount, "far")["access"]["map"].get<std::string>(), HasSubstr("QEMU was not asked"));
    EXPECT_EQ(try_write(mount / "web01/control", "pause\n"), 0);
  }
  EXPECT_FALSE(is_tainted()) << host.virsh({"dominfo", "web01"});
  const Mount mount{{"--vm", domain(host.uri(), "web01", ",passthrough=on")}};
  EXPECT_THAT(read_file(mount / "web01/vcpus/1/regs"), HasSubstr("rip 0x"));
  EXPECT_TRUE(is_tainted()) << host.virsh({"dominfo", "web01"});
}

TEST_F(Libvirt, PluggedVcpusAppearWithTheirNumbers) {
  LibvirtHost host;
  DomainOptions options;
  options.vcpus = "<vcpu current='1'>4</vcpu>";
  options.monitor_for_test = false;
  host.create(options);
  const Mount mount{{"--vm", domain(host.uri(), "web01"), "--vm",
                     "far=libvirt:memory=peek,passthrough=on,domain=web01,uri=" + host.uri()}};
  const auto vcpus = [&](const std::string& vm) { return info(mount, vm)["vcpu_list"].get<std::string>(); };
  EXPECT_EQ(vcpus("web01"), "0");
  EXPECT_EQ(vcpus("far"), "0");
  host.virsh({"setvcpu", "web01", "3", "--enable", "--live"});
  for (const std::string vm : {"web01", "far"}) {
    EXPECT_TRUE(eventually([&] { return vcpus(vm) == "0,3"; })) << vm << vcpus(vm);
    EXPECT_TRUE(eventually([&] {
      return read_file(mount / ".vmemfs/events")
                 .find(fmt::format("\"vm\":\"{}\",\"event\":\"vcpus\",\"detail\":\"added 3; now 0,3\"",
                                   vm)) != std::string::npos;
    })) << read_file(mount / ".vmemfs/events");
  }
  EXPECT_THAT(read_file(mount / "far/vcpus/3/regs"), HasSubstr("rip 0x"));
  EXPECT_FALSE(std::filesystem::exists(mount / "far/vcpus/1"));
}

TEST_F(Libvirt, DomainsComeAndGo) {
  LibvirtHost host;
  const Mount mount{discover({host.uri()}), Discover::on};
  DomainOptions bare;
  bare.kernel = false;
  std::vector<std::string> names;
  for (const char* const name : {"one", "two", "three", "four"}) {
    bare.name = name;
    names.emplace_back(name);
    host.create(bare);
  }
  for (const std::string& name : names) {
    EXPECT_TRUE(eventually([&] { return exists(mount / (name + "/mem")); })) << mount.log();
    EXPECT_EQ(info(mount, name)["driver"], "libvirt");
  }
  host.virsh({"destroy", "two"});
  EXPECT_TRUE(eventually([&] { return !exists(mount / "two"); }));

  // Saved, it is gone; restored, it is there again, as another VM.
  const UniqueFd mem = open_mem(mount, "one");
  host.virsh({"save", "one", host.dir() / "saved"});
  EXPECT_TRUE(eventually([&] { return !exists(mount / "one"); }));
  EXPECT_EQ(pread_at(mem.get(), 0, 16).error, ENODEV);
  host.virsh({"restore", host.dir() / "saved"});
  EXPECT_TRUE(eventually([&] { return exists(mount / "one/mem"); })) << mount.log();

  // Renamed while it is off.
  const std::string file = host.dir() / "persistent.xml";
  bare.name = "before";
  write_file(file, host.xml(bare));
  host.virsh({"define", file});
  host.virsh({"domrename", "before", "after"});
  host.virsh({"start", "after"});
  EXPECT_TRUE(eventually([&] { return exists(mount / "after/mem"); })) << mount.log();
  EXPECT_FALSE(exists(mount / "before"));
}

/// Of all VMs of this machine, so these run alone.
class Discovery : public Libvirt {};

/// By two drivers the same VM is found; it has one directory, and who has it can be chosen.
TEST_F(Discovery, ALibvirtDomainIsOneVm) {
  LibvirtHost host;
  DomainOptions bare;
  bare.name = "only-one";
  bare.kernel = false;
  host.create(bare);
  const auto directories = [](const Mount& mount) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{mount.path()}) {
      count += entry.path().filename().string().starts_with("only-one") ? 1 : 0;
    }
    return count;
  };
  const std::string libvirt = "libvirt:uri=" + host.uri();
  for (const auto& [first, second, winner] :
       {std::array<std::string, 3>{libvirt, "qemu", "libvirt"}, {"qemu", libvirt, "qemu"}}) {
    const Mount mount{{"--discover", first, "--discover", second}, Discover::on};
    EXPECT_TRUE(eventually([&] { return exists(mount / "only-one/mem"); }, 10s)) << mount.log();
    std::this_thread::sleep_for(4s); // longer than one driver waits for the other
    EXPECT_EQ(directories(mount), 1);
    EXPECT_EQ(info(mount, "only-one")["driver"], winner);
    EXPECT_THAT(read_file(mount / ".vmemfs/control"), Not(HasSubstr("refused")));
  }
}

/// While its daemon is away a domain is a QEMU, but its monitor stays libvirt's; with the daemon it gets all
/// that libvirt has, as soon as no reader is disturbed by that.
TEST_F(Discovery, ADomainWhoseDaemonComesLateIsHandedOver) {
  LibvirtHost host;
  DomainOptions bare;
  bare.name = "late";
  bare.kernel = false;
  bare.monitor_for_test = false;
  host.create(bare);
  host.kill_daemon();
  const std::vector<std::string> where{"--discover", "libvirt:uri=" + host.uri(), "--discover", "qemu"};
  const RunResult listed = run(joined({VMEMFS_PROGRAM, "list"}, where));
  EXPECT_EQ(listed.code, 1);
  EXPECT_THAT(listed.text, ContainsRegex("late +qemu .* yes +-\n"));

  const Mount mount{where, Discover::on};
  ASSERT_TRUE(eventually([&] { return exists(mount / "late/mem"); }, 10s)) << mount.log();
  EXPECT_EQ(info(mount, "late")["driver"], "qemu");
  EXPECT_EQ(try_write(mount / "late/control", "pause\n"), EOPNOTSUPP);
  EXPECT_THAT(status(mount, "late", "last_error"), HasSubstr("belongs to libvirt"));
  {
    const UniqueFd mem = open_mem(mount, "late");
    host.start_daemon();
    const auto refused = [&] { return read_file(mount / ".vmemfs/control"); };
    EXPECT_TRUE(eventually(
        [&] { return refused().find("until no file of its memory is open") != std::string::npos; }, 10s))
        << refused();
    std::this_thread::sleep_for(1s);
    EXPECT_EQ(pread_at(mem.get(), 2 * kMiB, 8).bytes.size(), 8U);
  }
  ASSERT_TRUE(eventually([&] {
    return exists(mount / "late") && info(mount, "late")["driver"] == "libvirt";
  })) << mount.log();
  EXPECT_EQ(try_write(mount / "late/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(host.state_of("late"), "paused");
  EXPECT_EQ(pread_at(open_mem(mount, "late").get(), 2 * kMiB, 8).bytes.size(), 8U);
}

TEST_F(Libvirt, ADaemonThatIsAwayHidesNoMemory) {
  LibvirtHost host;
  host.create();
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  std::atomic<bool> stop{false};
  std::atomic<int> reads{0};
  std::atomic<int> failed{0};
  std::jthread reader{[&] {
    const UniqueFd mem = open_mem(mount, "web01");
    while (!stop) {
      failed += pread_at(mem.get(), 2 * kMiB, 4096).bytes.size() == 4096 ? 0 : 1;
      ++reads;
    }
  }};
  host.kill_daemon();
  std::string answer;
  EXPECT_TRUE(eventually([&] { return try_write(mount / "web01/control", "pause\n") == EIO; }, 10s));
  EXPECT_THAT(status(mount, "web01", "last_error"), HasSubstr("libvirt: "));
  EXPECT_FALSE(info(mount, "web01")["probe"][1]["ok"].get<bool>());
  const int so_far = reads;
  EXPECT_TRUE(eventually([&] { return reads > so_far + 100; }));
  host.start_daemon();
  EXPECT_TRUE(eventually([&] { return try_write(mount / "web01/control", "pause\n") == 0; })) << mount.log();
  EXPECT_EQ(host.state_of("web01"), "paused");
  ASSERT_EQ(try_write(mount / "web01/control", "resume\n"), 0);
  host.virsh({"suspend", "web01"}); // events come again
  EXPECT_TRUE(eventually([&] { return status(mount, "web01", "paused_by") == "other"; }));

  // One that hangs is given up, and reads do not wait for that.
  host.stop_daemon();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(try_write(mount / "web01/control", "resume\n"), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
  const int then = reads;
  EXPECT_TRUE(eventually([&] { return reads > then + 100; }));
  host.continue_daemon();
  EXPECT_TRUE(eventually([&] { return try_write(mount / "web01/control", "resume\n") == 0; })) << mount.log();
  stop = true;
  reader.join();
  EXPECT_EQ(failed, 0) << "of " << reads;
}

TEST_F(Libvirt, AKilledMountLeavesNoDomainPaused) {
  LibvirtHost host;
  host.create();
  for (const bool keep : {false, true}) {
    Mount mount{{"--vm", domain(host.uri(), "web01")}};
    ASSERT_EQ(try_write(mount / "web01/control", keep ? "pause keep\n" : "pause\n"), 0) << mount.log();
    ASSERT_EQ(host.state_of("web01"), "paused");
    mount.kill_daemon();
    if (keep) {
      std::this_thread::sleep_for(1500ms);
    }
    EXPECT_EQ(eventually([&] { return host.state_of("web01") == "running"; }, keep ? 0ms : 30000ms), !keep);
  }
}

TEST_F(Libvirt, AHostFarAwayHasItsMemoryToo) {
  LibvirtHost host{LibvirtHost::Listen::tcp};
  LibvirtHost other{LibvirtHost::Listen::tcp};
  host.create();
  DomainOptions q35;
  q35.machine = "q35";
  q35.name = "web02";
  other.create(q35);
  host.virsh({"suspend", "web01"});
  other.virsh({"suspend", "web02"});
  const Mount mount{discover({host.tcp_uri(), other.tcp_uri()}, ",host=on"), Discover::on};
  const std::string prefix = host.virsh({"hostname"}).substr(0, host.virsh({"hostname"}).find('\n')) + ":";
  const std::string web01 = prefix + "web01";
  const std::string web02 = prefix + "web02";
  ASSERT_TRUE(eventually([&] {
    return exists(mount / (web01 + "/mem")) && exists(mount / (web02 + "/mem"));
  })) << mount.log();
  const json all = info(mount, web01);
  EXPECT_THAT(all["access"]["ram"].get<std::string>(), HasSubstr("ms a call"));
  EXPECT_TRUE(all["cache"]["in_use"].get<bool>());
  EXPECT_EQ(all["memory"]["size"], 64 * kMiB);

  // What is no main memory is a hole, and never asked for.
  expect_qemus_bytes(host, mount, "web01", web01);
  const UniqueFd mem = open_mem(mount, web01);
  EXPECT_EQ(pread_at(mem.get(), 0xa0000, 16).error, EIO);

  // Resumed by somebody else: what is read is live again.
  host.virsh({"resume", "web01"});
  const auto counter = [&] { return pread_at(mem.get(), 2 * kMiB + 8, 8).bytes; };
  const auto first = counter();
  EXPECT_TRUE(eventually([&] { return counter() != first; }));

  // One host's end is not the other's.
  host.kill_daemon();
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 2 * kMiB, 8).error == EIO; }));
  EXPECT_TRUE(exists(mount / (web01 + "/info")));
  EXPECT_EQ(pread_at(open_mem(mount, web02).get(), 2 * kMiB, 8).bytes.size(), 8U);
  host.start_daemon();
  EXPECT_TRUE(eventually([&] { return pread_at(mem.get(), 2 * kMiB, 8).bytes.size() == 8; })) << mount.log();
  other.virsh({"destroy", "web02"});
  EXPECT_TRUE(eventually([&] { return !exists(mount / web02); }, 3s));
}

TEST_F(Libvirt, AMigratedDomainIsFollowedToItsNewHost) {
  LibvirtHost from;
  LibvirtHost to{LibvirtHost::Listen::tcp};
  DomainOptions options;
  options.monitor_for_test = false;
  from.create(options);
  const Mount mount{discover({from.uri(), to.uri()}), Discover::on};
  ASSERT_TRUE(eventually([&] { return exists(mount / "web01/mem"); })) << mount.log();
  const UniqueFd old = open_mem(mount, "web01");
  const pid_t before = from.pid_of("web01");
  const RunResult migrated = from.try_virsh(
      {"migrate", "--live", "web01", to.tcp_uri(), fmt::format("tcp://127.0.0.1:{}", to.migration_port())});
  ASSERT_EQ(migrated.code, 0) << migrated.text;
  EXPECT_TRUE(eventually([&] { return pread_at(old.get(), 0, 8).error == ENODEV; }));
  const pid_t after = to.pid_of("web01");
  EXPECT_NE(after, before);
  EXPECT_TRUE(eventually([&] {
    for (const std::string vm : {"web01", "web01-1", "web01-2"}) {
      if (exists(mount / (vm + "/mem")) &&
          info(mount, vm)["probe"].dump().find(fmt::format("process {}", after)) != std::string::npos) {
        return true;
      }
    }
    return false;
  })) << mount.log();
}

TEST_F(Libvirt, NamesAreNotTrusted) {
  LibvirtHost host;
  DomainOptions bare;
  bare.kernel = false;
  bare.monitor_for_test = false;
  const std::vector<std::pair<std::string, std::string>> names{
      {"-rf &lt;\xe2\x98\x83&gt;", "_rf <\xe2\x98\x83>"}, // looks like an option; unicode
      {".hidden \xe2\x80\xae.txt", "_hidden _.txt"},      // turns the writing direction
      {std::string(180, 'x'), std::string(180, 'x')},     // long
      {"a,b=\"c\\", "a,b=\"c\\"}};                        // the syntax of our own parameters
  for (const auto& [name, directory] : names) {
    bare.name = name;
    const std::string file = host.dir() / "hostile.xml";
    write_file(file, host.xml(bare, "serial"));
    host.virsh({"create", file});
  }
  const Mount mount{discover({host.uri()}), Discover::on};
  for (const auto& [name, directory] : names) {
    EXPECT_TRUE(eventually([&] { return exists(mount / (directory + "/mem")); }, 10s))
        << directory << mount.log();
  }
}

/// libvirt's own test hypervisor has domains, but no memory. (A '/' in a name libvirt itself refuses.)
TEST_F(Libvirt, DomainsWithoutMemoryAreRefusedWithTheReason) {
  const TempDir dir;
  write_file(dir / "test.xml",
             "<node><cpu><mhz>1</mhz></cpu><domain type='test'><name>no memory</name><memory>65536</memory>"
             "<os><type>hvm</type></os></domain></node>");
  const Mount mount{discover({"test://" + (dir / "test.xml")}), Discover::on};
  EXPECT_TRUE(eventually([&] {
    return read_file(mount / ".vmemfs/control").find("no way to the memory of domains of 'test'") !=
           std::string::npos;
  })) << read_file(mount / ".vmemfs/control")
      << mount.log();
}

} // namespace
} // namespace vmemfs::test
