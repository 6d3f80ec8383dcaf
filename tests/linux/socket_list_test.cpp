// SPDX-License-Identifier: MIT
#include "linux/made_kernel.h"
#include "linux/sockets/process_sockets.h"
#include "linux/sockets/socket_list.h"

#include <array>
#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>

namespace vmemfs {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using namespace std::string_view_literals;

constexpr std::string_view kHeader = "PROTOCOL\tSTATE\tLOCAL\tPEER\tINODE\tPID\tFD\tNAME\n";

/// A kernel with one process, `server` with pid 7, that has sockets open.
class SocketKernel : public MadeKernel {
public:
  static constexpr std::uint64_t kFiles = 0xffff888000200000;
  static constexpr std::uint64_t kTable = 0xffff888000200100;
  static constexpr std::uint64_t kArray = 0xffff888000201000;
  static constexpr std::uint64_t kSockets = 0xffff888000300000;
  static constexpr std::uint32_t kCount = 64;

  SocketKernel() {
    add(7, "server");
    memory.write(task(0) + Made::Task::kFlags, std::uint32_t{0});
    memory.write(task(0) + Made::Task::kFiles, kFiles);
    memory.write(kFiles, kTable);
    memory.write_text(kArray, std::string(8 * kCount, '\0'));
    write_table(kCount, kArray);
    memory.write_text(kSockets, std::string(0x10000, '\0'));
  }

  void write_table(std::uint32_t count, std::uint64_t array) {
    memory.write(kTable, count);
    memory.write(kTable + 8, array);
  }
  static std::uint64_t slot(unsigned fd) { return kArray + 8 * fd; }
  static std::uint64_t file(unsigned index) { return kSockets + std::uint64_t{0x400} * index; }
  static std::uint64_t socket(unsigned index) { return file(index) + 0x100; }
  static std::uint64_t sock(unsigned index) { return file(index) + 0x200; }

  /// Descriptor `fd`, inode 1000 + fd.
  void open(unsigned fd, std::uint16_t family, std::uint16_t type, std::uint16_t protocol,
            std::uint8_t state) {
    using Sock = Made::Sock;
    memory.write(slot(fd), file(fd));
    memory.write(file(fd) + Made::File::kOperations, kSocketOperations);
    memory.write(file(fd) + Made::File::kPrivate, socket(fd));
    memory.write(file(fd) + Made::File::kInode, file(fd) + 0x80);
    memory.write(file(fd) + 0x80, std::uint64_t{1000} + fd);
    memory.write(socket(fd) + Made::Socket::kFile, file(fd));
    memory.write(socket(fd) + Made::Socket::kSock, sock(fd));
    memory.write(sock(fd) + Sock::kSocket, socket(fd));
    memory.write(sock(fd) + Sock::kFamily, family);
    memory.write(sock(fd) + Sock::kType, type);
    memory.write(sock(fd) + Sock::kProtocol, protocol);
    memory.write(sock(fd) + Sock::kState, state);
  }
  void open_tcp(unsigned fd, std::uint8_t state) { open(fd, 2, 1, 6, state); }
  /// Ports as numbers, addresses as bytes.
  void set_ends(unsigned fd, std::string_view local, std::uint16_t port, std::string_view peer,
                std::uint16_t peer_port) {
    using Sock = Made::Sock;
    const bool is_inet6 = local.size() == 16;
    memory.write_text(sock(fd) + (is_inet6 ? Sock::kAddress6 : Sock::kAddress), local);
    memory.write_text(sock(fd) + (is_inet6 ? Sock::kPeerAddress6 : Sock::kPeerAddress), peer);
    memory.write(sock(fd) + Sock::kPort, port);
    memory.write(sock(fd) + Sock::kPeerPort,
                 std::array<unsigned char, 2>{static_cast<unsigned char>(peer_port >> 8U),
                                              static_cast<unsigned char>(peer_port & 0xffU)});
  }
  void set_name(unsigned fd, std::string_view name) {
    const std::uint64_t address = file(fd) + 0x300;
    memory.write(sock(fd) + Made::Sock::kUnixAddress, address);
    memory.write(address + 4, static_cast<std::uint32_t>(name.size() + 2));
    memory.write_text(address + 10, name);
  }
  /// The file's inode is in a filesystem of this kind, which is written at `superblock`.
  void put_into(unsigned fd, std::uint64_t superblock, std::string_view kind) {
    memory.write(file(fd) + 0x88, superblock);
    memory.write(superblock + Made::Filesystem::kType, superblock + 0x40);
    memory.write(superblock + 0x40, superblock + 0x80);
    memory.write_text(superblock + 0x80, kind);
  }
  [[nodiscard]] std::string list() { return text(socket_list); }
};

TEST(SocketList, NoDataSymbols_SocketsAreThoseOfTheirFilesystem) {
  SocketKernel kernel;
  kernel.has_data_symbols = false;
  kernel.open_tcp(3, 10);
  kernel.open_tcp(4, 10);
  kernel.put_into(3, SocketKernel::kSockets + 0xe000, "sockfs");
  kernel.put_into(4, SocketKernel::kSockets + 0xf000, "sockfs2");
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "tcp\tLISTEN\t0.0.0.0:*\t0.0.0.0:*\t1003\t7\t3\tserver\n"
                                                  "# complete: 1 descriptors of sockets\n");
}

TEST(SocketList, Protocols_InTheWordsOfSs) {
  SocketKernel kernel;
  kernel.open_tcp(3, 10);
  kernel.set_ends(3, "\x7f\0\0\1"sv, 8080, "\0\0\0\0"sv, 0);
  kernel.open(4, 10, 1, 6, 1);
  kernel.set_ends(4, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"sv, 22,
                  "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"sv, 50000);
  kernel.open(5, 2, 2, 17, 7);
  kernel.set_ends(5, "\0\0\0\0"sv, 67, "\0\0\0\0"sv, 0);
  kernel.open(6, 2, 3, 1, 7);
  kernel.set_ends(6, "\0\0\0\0"sv, 1, "\0\0\0\0"sv, 0);
  kernel.open(7, 16, 3, 15, 7);
  kernel.open(8, 17, 3, 0, 7);
  kernel.open(9, 38, 5, 0, 99);
  EXPECT_EQ(kernel.list(), std::string{kHeader} +
                               "tcp\tLISTEN\t127.0.0.1:8080\t0.0.0.0:*\t1003\t7\t3\tserver\n"
                               "tcp\tESTAB\t[::ffff:127.0.0.1]:22\t[2001:db8::1]:50000\t1004\t7\t4\tserver\n"
                               "udp\tUNCONN\t0.0.0.0:67\t0.0.0.0:*\t1005\t7\t5\tserver\n"
                               "raw\tUNCONN\t0.0.0.0:1\t0.0.0.0:*\t1006\t7\t6\tserver\n"
                               "nl\tUNCONN\t15:?\t-\t1007\t7\t7\tserver\n"
                               "p_raw\tUNCONN\t-\t-\t1008\t7\t8\tserver\n"
                               "family-38\t?\t-\t-\t1009\t7\t9\tserver\n"
                               "# complete: 7 descriptors of sockets\n");
}

TEST(SocketList, UnixSockets_NamesAndInodesOfPeers) {
  SocketKernel kernel;
  kernel.open(3, 1, 1, 0, 10);
  kernel.set_name(3, "/run/a\n\0"sv);
  kernel.open(4, 1, 5, 0, 1);
  kernel.set_name(4, "\0bus\0x"sv);
  kernel.memory.write(SocketKernel::sock(4) + Made::Sock::kUnixPeer, SocketKernel::sock(5));
  kernel.open(5, 1, 2, 0, 7);
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "u_str\tLISTEN\t/run/a\\x0a\t-\t1003\t7\t3\tserver\n"
                                                  "u_seq\tESTAB\t@bus\\x00x\t1005\t1004\t7\t4\tserver\n"
                                                  "u_dgr\tUNCONN\t-\t-\t1005\t7\t5\tserver\n"
                                                  "# complete: 3 descriptors of sockets\n");
}

TEST(SocketList, WildPointersOfAUnixSocket_QuestionMarks) {
  SocketKernel kernel;
  kernel.open(3, 1, 1, 0, 1);
  kernel.set_name(3, "/a\0"sv);
  kernel.memory.write(SocketKernel::file(3) + 0x304, std::uint32_t{0xffffffff});
  kernel.memory.write(SocketKernel::sock(3) + Made::Sock::kUnixPeer, SocketKernel::sock(9)); // of no socket
  kernel.memory.write(SocketKernel::sock(9) + Made::Sock::kSocket, SocketKernel::socket(8));
  EXPECT_THAT(kernel.list(), HasSubstr("u_str\tESTAB\t?\t?\t1003\t7\t3\tserver\n# complete: 1 "));
}

TEST(SocketList, OtherFilesAndKernelThreads_NoRow) {
  SocketKernel kernel;
  kernel.open_tcp(3, 10);
  kernel.memory.write(SocketKernel::file(3) + Made::File::kOperations, std::uint64_t{1});
  kernel.add(8, "kthread");
  kernel.memory.write(MadeKernel::task(1) + Made::Task::kFiles, ~std::uint64_t{0});
  kernel.add(9, "exiting");
  kernel.memory.write(MadeKernel::task(2) + Made::Task::kFlags, std::uint32_t{0});
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "# complete: 0 descriptors of sockets\n");
}

TEST(SocketList, SocketInTwoProcesses_TwoRows) {
  SocketKernel kernel;
  kernel.open_tcp(3, 10);
  kernel.add(8, "child");
  kernel.memory.write(MadeKernel::task(1) + Made::Task::kFlags, std::uint32_t{0});
  kernel.memory.write(MadeKernel::task(1) + Made::Task::kFiles, SocketKernel::kFiles);
  const std::string list = kernel.list();
  EXPECT_THAT(list, HasSubstr("\t1003\t7\t3\tserver\n"));
  EXPECT_THAT(list, HasSubstr("\t1003\t8\t3\tchild\n# complete: 2 "));
}

TEST(SocketList, PointersThatDoNotPointBack_NoRowAndSaid) {
  for (const std::uint64_t address :
       {SocketKernel::socket(3) + Made::Socket::kFile, SocketKernel::sock(3) + Made::Sock::kSocket,
        SocketKernel::socket(3) + Made::Socket::kSock, SocketKernel::file(3) + Made::File::kPrivate,
        SocketKernel::file(3) + Made::File::kInode, SocketKernel::slot(3)}) {
    SocketKernel kernel;
    kernel.open_tcp(3, 10);
    kernel.open_tcp(4, 10);
    kernel.memory.write(address, std::uint64_t{0xdead000000000100});
    const std::string list = kernel.list();
    EXPECT_THAT(list, Not(HasSubstr("\t1003\t")));
    EXPECT_THAT(list, HasSubstr("\t1004\t7\t4\tserver\n"));
    EXPECT_THAT(list, EndsWith("# incomplete: 1 descriptors of sockets; file 3 of process 7 changed while it "
                               "was read, or is damaged\n"));
  }
}

TEST(SocketList, TableThatCannotBeRead_SaidAsIncomplete) {
  SocketKernel kernel;
  kernel.write_table(64, 0x1000);
  EXPECT_THAT(kernel.list(), EndsWith("# incomplete: 0 descriptors of sockets; the files of process 7 cannot "
                                      "be read\n"));
  kernel.memory.write(SocketKernel::kFiles, std::uint64_t{0x1000});
  EXPECT_THAT(kernel.list(),
              EndsWith("; the files of process 7 changed while they were read, or are damaged\n"));
}

TEST(SocketList, AbsurdCountOfFiles_SaidAsIncomplete) {
  SocketKernel kernel;
  kernel.open_tcp(3, 10);
  kernel.write_table(0xffffffff, SocketKernel::kArray);
  const std::uint64_t end = SocketKernel::kArray + 8 * std::uint64_t{ProcessSockets::kMaxDescriptors};
  for (std::uint64_t page = SocketKernel::kArray + 4096; page < end; page += 4096) {
    if (page < SocketKernel::kSockets || page >= SocketKernel::kSockets + 0x10000) {
      kernel.memory.write(page, std::uint64_t{0});
    }
  }
  const std::string list = kernel.list();
  EXPECT_THAT(list, HasSubstr("\t1003\t7\t3\tserver\n"));
  EXPECT_THAT(list, HasSubstr("# incomplete: "));
}

TEST(SocketList, SocketThatChangesOnce_ShownAsItIsThen) {
  SocketKernel kernel;
  kernel.open_tcp(3, 2);
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == SocketKernel::sock(3) && ++reads == 2) {
      kernel.memory.write(SocketKernel::sock(3) + Made::Sock::kState, std::uint8_t{1});
    }
  };
  EXPECT_THAT(kernel.list(),
              HasSubstr("tcp\tESTAB\t0.0.0.0:*\t0.0.0.0:*\t1003\t7\t3\tserver\n# complete: 1 "));
}

TEST(SocketList, SocketThatAlwaysChanges_NotShownAndSaid) {
  SocketKernel kernel;
  kernel.open_tcp(3, 1);
  std::uint16_t port = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == SocketKernel::sock(3)) {
      kernel.memory.write(SocketKernel::sock(3) + Made::Sock::kPort, ++port);
    }
  };
  EXPECT_THAT(kernel.list(), HasSubstr(std::string{kHeader} + "# incomplete: 0 "));
}

TEST(SocketList, FileClosedWhileItIsRead_NoRow) {
  SocketKernel kernel;
  kernel.open_tcp(3, 1);
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == SocketKernel::sock(3)) {
      kernel.memory.write(SocketKernel::slot(3), std::uint64_t{0});
    }
  };
  EXPECT_EQ(kernel.list(), std::string{kHeader} + "# complete: 0 descriptors of sockets\n");
}

TEST(SocketList, TableThatMovesWhileItIsRead_ReadAgain) {
  SocketKernel kernel;
  kernel.open_tcp(3, 10);
  constexpr std::uint64_t kMoved = 0xffff888000700000;
  bool moved = false;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == SocketKernel::kArray && !moved) { // as if it grows
      moved = true;
      kernel.memory.write_text(kMoved, std::string(8 * 64, '\0'));
      kernel.memory.write(kMoved + 8 * 3, SocketKernel::file(3));
      kernel.memory.write_text(SocketKernel::kArray, std::string(8 * 64, '\0'));
      kernel.write_table(64, kMoved);
    }
  };
  EXPECT_THAT(kernel.list(), HasSubstr("\t1003\t7\t3\tserver\n# complete: 1 "));
}

} // namespace
} // namespace vmemfs
