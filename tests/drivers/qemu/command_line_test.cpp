// SPDX-License-Identifier: MIT
#include "drivers/qemu/discovery/command_line.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

QemuCommandLine parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "qemu-system-x86_64");
  return parse_qemu_command_line(arguments);
}

std::vector<std::string> qmp_paths(const QemuCommandLine& line) {
  std::vector<std::string> paths;
  for (const MonitorSocket& socket : line.qmp) {
    if (socket.tcp) {
      paths.push_back(fmt::format("tcp {} {}-{}", socket.tcp->host, socket.tcp->first, socket.tcp->last));
    } else if (socket.abstract) {
      paths.push_back((socket.padded ? "padded " : "abstract ") + socket.path);
    } else {
      paths.push_back(socket.fd ? "fd " + std::to_string(*socket.fd) : socket.path);
    }
  }
  return paths;
}

TEST(QemuCommandLine, NothingGiven) {
  const QemuCommandLine line = parse({});
  EXPECT_EQ(line.name, "");
  EXPECT_EQ(line.memory_bytes, 0U);
  EXPECT_TRUE(line.qmp.empty());
  EXPECT_EQ(line.gdbstub, "");
  EXPECT_TRUE(parse_qemu_command_line({}).qmp.empty());
}

TEST(QemuCommandLine, Names) {
  EXPECT_EQ(parse({"-name", "web01"}).name, "web01");
  EXPECT_EQ(parse({"--name", "guest=web01,debug-threads=on"}).name, "web01");
  EXPECT_EQ(parse({"-name", "debug-threads=on,guest=web01"}).name, "web01");
  EXPECT_EQ(parse({"-name", "a,,b,process=x"}).name, "a,b");
  EXPECT_EQ(parse({"-name", "process=x"}).name, "");
}

TEST(QemuCommandLine, UuidAndMachine) {
  const QemuCommandLine line =
      parse({"-uuid", "6c5f0b7e-0000-4000-8000-000000000001", "-machine", "pc-q35-7.2,accel=kvm,usb=off"});
  EXPECT_EQ(line.uuid, "6c5f0b7e-0000-4000-8000-000000000001");
  EXPECT_EQ(line.machine, "pc-q35-7.2");
  EXPECT_EQ(parse({"-M", "type=q35"}).machine, "q35");
  EXPECT_EQ(parse({"-M", "q35", "-machine", "memory-backend=m0"}).machine, "q35");
}

TEST(QemuCommandLine, MemorySizes) {
  constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
  EXPECT_EQ(parse({"-m", "64"}).memory_bytes, 64 * kMiB);
  EXPECT_EQ(parse({"-m", "2G"}).memory_bytes, 2048 * kMiB);
  EXPECT_EQ(parse({"-m", "size=524288k,slots=2,maxmem=8G"}).memory_bytes, 512 * kMiB);
  EXPECT_EQ(parse({"-m", "1024,slots=2"}).memory_bytes, 1024 * kMiB);
  EXPECT_EQ(parse({"-m", "slots=2", "-m", "99999999999999999"}).memory_bytes, 0U);
  EXPECT_EQ(parse({"-m", "lots"}).memory_bytes, 0U);
}

TEST(QemuCommandLine, RoomForMoreVcpus_IsThatOfSmp) {
  EXPECT_FALSE(parse({}).more_vcpus);
  for (const char* const smp : {"4", "cpus=4,maxcpus=4", "4,sockets=2,cores=2", "cores=2,threads=2"}) {
    EXPECT_EQ(parse({"-smp", smp}).vcpus, 4U) << smp;
    EXPECT_FALSE(parse({"-smp", smp}).more_vcpus) << smp;
  }
  for (const char* const smp : {"1,maxcpus=4", "maxcpus=4,cpus=1", "1,sockets=4"}) {
    EXPECT_EQ(parse({"-smp", smp}).vcpus, 1U) << smp;
    EXPECT_TRUE(parse({"-smp", smp}).more_vcpus) << smp;
  }
  EXPECT_EQ(parse({"-smp", "maxcpus=4"}).vcpus, 4U); // as QEMU has it
}

TEST(QemuCommandLine, QmpOption) {
  EXPECT_THAT(qmp_paths(parse({"-qmp", "unix:/run/a.sock,server=on,wait=off"})),
              testing::ElementsAre("/run/a.sock"));
  EXPECT_THAT(qmp_paths(parse({"--qmp-pretty", "unix:a,,b.sock,server,nowait"})),
              testing::ElementsAre("a,b.sock"));
  EXPECT_THAT(qmp_paths(parse({"-qmp", "unix:path=/x,server=on"})), testing::ElementsAre("/x"));
  EXPECT_THAT(qmp_paths(parse({"-qmp", "chardev:c", "-chardev", "socket,id=c,path=/y,server=yes"})),
              testing::ElementsAre("/y"));
}

TEST(QemuCommandLine, TcpMonitors) {
  const auto monitor = [](const std::string& qmp) { return qmp_paths(parse({"-qmp", qmp})); };
  EXPECT_THAT(monitor("tcp:localhost:4444,server=on,wait=off"),
              testing::ElementsAre("tcp localhost 4444-4444"));
  EXPECT_THAT(monitor("tcp::4444,server,nowait,nodelay"), testing::ElementsAre("tcp  4444-4444"));
  EXPECT_THAT(monitor("mon:tcp:127.0.0.1:4444,server=on,to=4450"),
              testing::ElementsAre("tcp 127.0.0.1 4444-4450"));
  EXPECT_THAT(monitor("tcp::4444,server=on,to=1"), testing::ElementsAre("tcp  4444-4444"));
  EXPECT_THAT(qmp_paths(parse({"-chardev", "socket,id=c,host=::1,port=4444,server=on,ipv6=on", "-mon",
                               "c,mode=control"})),
              testing::ElementsAre("tcp ::1 4444-4444"));
}

TEST(QemuCommandLine, AbstractMonitors) {
  const auto monitor = [](const std::string& qmp) { return qmp_paths(parse({"-qmp", qmp})); };
  EXPECT_THAT(monitor("unix:x,server=on,abstract=on"), testing::ElementsAre("abstract x"));
  EXPECT_THAT(monitor("unix:x,server=on,abstract=on,tight=on"), testing::ElementsAre("abstract x"));
  EXPECT_THAT(monitor("unix:x,server=on,abstract=on,tight=off"), testing::ElementsAre("padded x"));
  EXPECT_THAT(monitor("unix:x,server=on,tight=off"), testing::ElementsAre("x"));
}

TEST(QemuCommandLine, Chroot_IsOfEachMonitor) {
  const auto chrooted = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-qmp", "unix:/x,server=on"});
    return parse(std::move(arguments)).qmp.at(0).chrooted;
  };
  EXPECT_FALSE(chrooted({"-runas", "nobody", "-run-with", "async-teardown=on"}));
  EXPECT_TRUE(chrooted({"-chroot", "/jail"}));
  EXPECT_TRUE(chrooted({"-run-with", "async-teardown=on,chroot=/jail"}));
}

TEST(QemuCommandLine, UnusableMonitors_HaveTheirReason) {
  const auto reason_of = [](std::vector<std::string> arguments) {
    const QemuCommandLine line = parse(std::move(arguments));
    EXPECT_TRUE(line.qmp.empty());
    EXPECT_EQ(line.unusable_qmp.size(), 1U);
    return line.unusable_qmp.empty() ? std::string{} : line.unusable_qmp.front();
  };
  const std::vector<std::pair<std::string, std::string>> cases{
      {"pty", "is on a pty"},
      {"stdio", "is on QEMU's standard input and output"},
      {"mon:stdio", "is on QEMU's standard input and output"},
      {"pipe:/run/p", "is on a pipe"},
      {"file:/run/f", "writes to a file"},
      {"vc:80Cx24C", "is a console in QEMU's display"},
      {"null", "goes nowhere"},
      {"udp::4444", "is on the character device 'udp'"},
      {"/dev/ttyS0", "is on the character device '/dev/ttyS0'"},
      {"", "is on the character device ''"},
      {"unix:/x", "connects to '/x' by itself"},
      {"unix:/x,server=off", "connects to '/x' by itself"},
      {"unix:/x,noserver", "connects to '/x' by itself"},
      {"tcp:192.0.2.1:4444", "connects to '192.0.2.1:4444' by itself"},
      {"telnet:localhost:4444,server=on", "on 'localhost:4444' uses the protocol telnet"},
      {"websocket::4444,server=on", "on ':4444' uses the protocol websocket"},
      {"tcp::4444,server=on,telnet=on", "on ':4444' uses the protocol telnet"},
      {"tcp::4444,server=on,tls-creds=t", "on ':4444' is encrypted"},
      {"tcp::0,server=on", "is on the TCP port ':0'"},
      {"tcp::http,server=on", "is on the TCP port ':http'"},
      {"tcp::70000,server=on", "is on the TCP port ':70000'"},
      {"unix:,server=on", "is on the TCP port ':'"},
  };
  for (const auto& [qmp, reason] : cases) {
    EXPECT_THAT(reason_of({"-qmp", qmp}), testing::StartsWith(reason)) << qmp;
  }
  EXPECT_THAT(reason_of({"-chardev", "pty,id=p", "-mon", "p,mode=control"}),
              testing::StartsWith("is on a pty"));
  EXPECT_THAT(reason_of({"-qmp", "unix:\x1b[31m"}), testing::Not(testing::HasSubstr("\x1b")));
  EXPECT_TRUE(parse({"-monitor", "pty"}).unusable_qmp.empty()) << "not a QMP monitor";
}

TEST(QemuCommandLine, MonitorsOnChardevs) {
  const QemuCommandLine line = parse(
      {"-mon", "chardev=late,mode=control", "-chardev", "socket,id=late,path=/run/late,server=on,wait=off",
       "-chardev", "socket,id=charmonitor,fd=32,server=on,wait=off", "-mon",
       "chardev=charmonitor,id=monitor,mode=control", "-mon", "late,mode=readline", "-chardev",
       "socket,id=other,path=/run/other,server=on", "-chardev", "pty,id=p", "-mon", "p,mode=control", "-mon",
       "missing,mode=control"});
  EXPECT_THAT(qmp_paths(line), testing::ElementsAre("/run/late", "fd 32"));
  EXPECT_FALSE(line.qmp[0].libvirts);
  EXPECT_TRUE(line.qmp[1].libvirts);
  EXPECT_EQ(line.unusable_qmp.size(), 1U) << "the pty";
}

TEST(QemuCommandLine, HumanMonitor_IsNotListedAsQmp) {
  EXPECT_THAT(qmp_paths(parse({"-monitor", "unix:/run/hmp,server=on"})), testing::IsEmpty());
}

TEST(QemuCommandLine, Gdbstub) {
  EXPECT_EQ(parse({"-s"}).gdbstub, "tcp::1234");
  EXPECT_EQ(parse({"-gdb", "unix:/x,,y,server=on"}).gdbstub, "unix:/x,,y,server=on");
  EXPECT_EQ(parse({"-gdb", "none"}).gdbstub, "");
  EXPECT_EQ(parse({"-S", "-snapshot"}).gdbstub, "");
}

TEST(QemuCommandLine, ChardevsOfTheGdbstub) {
  using testing::ElementsAre;
  EXPECT_THAT(parse({}).gdbstub_chardevs, ElementsAre("gdb")) << "by the monitor";
  EXPECT_THAT(parse({"-s"}).gdbstub_chardevs, ElementsAre("gdb"));
  EXPECT_THAT(parse({"-chardev", "null,id=x", "-gdb", "chardev:x"}).gdbstub_chardevs,
              ElementsAre("x", "gdb"));
  EXPECT_THAT(parse({"-gdb", "chardev:gdb", "-chardev", "null,id=gdb"}).gdbstub_chardevs, ElementsAre("gdb"));
  EXPECT_THAT(parse({"-chardev", "null,id=gdb", "-serial", "chardev:gdb"}).gdbstub_chardevs,
              testing::IsEmpty());
}

TEST(QemuCommandLine, OptionAfterOneWithoutArgument_IsParsed) {
  const QemuCommandLine line = parse({"-s", "-S", "-nodefaults", "disk.img", "-name", "x"});
  EXPECT_EQ(line.name, "x");
}

TEST(QemuCommandLine, HostileInput) {
  parse({"-name"});
  parse({"-", "--", "", "-m", ",,,,", "-mon", ",", "-chardev", "=", "-qmp", "unix:"});
  EXPECT_THAT(
      qmp_paths(parse({"-chardev", "socket,id=a,server=on,fd=99999999999", "-mon", "a,mode=control"})),
      testing::IsEmpty());
  EXPECT_EQ(parse({"-name", std::string(1 << 20, ',')}).name.size(), std::size_t{1} << 19);
  EXPECT_EQ(parse({"-name", "\xff\x01"}).name, "\xff\x01");
}

TEST(QemuCommandLine, VeryManyMonitors_OnlyTheFirstCount) {
  std::vector<std::string> arguments;
  for (int i = 0; i < 2000; ++i) {
    arguments.insert(arguments.end(), {"-qmp", "unix:/s" + std::to_string(i) + ",server=on,wait=off"});
  }
  const auto line = parse(std::move(arguments));
  EXPECT_EQ(line.qmp.size(), kMaxMonitors);
  EXPECT_EQ(line.qmp.front().path, "/s0");
  EXPECT_EQ(line.more_qmp, 2000 - kMaxMonitors);
  EXPECT_EQ(parse(std::vector<std::string>(4000, "-qmp")).unusable_qmp.size(), kMaxMonitors);
}

TEST(IsQemu, ByNamePathAndComm) {
  EXPECT_TRUE(is_qemu("qemu-system-x86_64"));
  EXPECT_TRUE(is_qemu("/usr/bin/qemu-system-i386"));
  EXPECT_TRUE(is_qemu("/usr/bin/qemu-system-x86_64 (deleted)"));
  EXPECT_TRUE(is_qemu("qemu-system-x86"));
  EXPECT_TRUE(is_qemu("/usr/libexec/qemu-kvm"));
  EXPECT_FALSE(is_qemu("qemu-img"));
  EXPECT_FALSE(is_qemu("/opt/qemu-system-x86_64/sh"));
  EXPECT_FALSE(is_qemu(""));
}

} // namespace
} // namespace vmemfs::qemu
