// SPDX-License-Identifier: MIT
// linux/mounts and linux/sockets of a guest. The truth is what it prints of its own /proc: mountinfo of
// process 1, the tables of sockets, and which process has which socket open.
#include "core/text.h"
#include "e2e/images/linux_guest.h"
#include "mount_rows.h"

#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::Contains;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

std::uint32_t hex(std::string_view text) { return static_cast<std::uint32_t>(parse_hex(text).value_or(0)); }

/// "0100007F:1F90" as 127.0.0.1:8080.
std::string end_text(const std::string& field) {
  const std::size_t colon = field.find(':');
  std::array<std::uint32_t, 4> address{};
  for (std::size_t i = 0; i < colon / 8; ++i) {
    address.at(i) = hex(std::string_view{field}.substr(8 * i, 8));
  }
  const bool is_inet6 = colon > 8;
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_inet6 ? AF_INET6 : AF_INET, address.data(), text.data(), text.size());
  const std::uint32_t port = hex(field.substr(colon + 1));
  const std::string port_text = port == 0 ? "*" : std::to_string(port);
  return is_inet6 ? fmt::format("[{}]:{}", text.data(), port_text)
                  : fmt::format("{}:{}", text.data(), port_text);
}

class MountsAndSockets : public testing::Test {
protected:
  void SetUp() override {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    guest_ = std::make_unique<QemuGuest>(linux_guest({"-smp", "2"}, "vmemfs.truth"));
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
    ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
  }

  /// The lines of the guest that begin with these words, without them.
  [[nodiscard]] std::vector<std::string> truth(const std::string& of) const {
    return linux_truths(guest_->serial(), of);
  }

  /// The rows of a complete list, without the header and the last line.
  [[nodiscard]] std::vector<std::string> rows(const std::string& file) const {
    std::string text;
    EXPECT_TRUE(eventually(
        [&] {
          text = read_file(*mount_ / ("vm/linux/" + file));
          return text.find("# complete: ") != std::string::npos;
        },
        kLinuxBoot))
        << text;
    std::vector<std::string> found;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
      found.push_back(line);
    }
    if (found.size() < 2) {
      return {};
    }
    return {found.begin() + 1, found.end() - 1};
  }

  /// The begin of a row of the list by the inode, of what the guest's tables have.
  [[nodiscard]] std::map<std::string, std::string> sockets_of_tables() const {
    std::map<std::string, std::string> found;
    const std::map<std::uint32_t, std::string> states{{1, "ESTAB"}, {7, "UNCONN"}, {10, "LISTEN"}};
    for (const std::string table : {"tcp", "tcp6", "udp", "udp6", "raw"}) {
      for (const std::string& line : truth("net-" + table)) {
        const auto fields = words(line);
        if (fields.size() > 9 && fields[0] != "sl" && states.contains(hex(fields[3]))) {
          found[fields[9]] = fmt::format("{}\t{}\t{}\t{}", table.substr(0, 3), states.at(hex(fields[3])),
                                         end_text(fields[1]), end_text(fields[2]));
        }
      }
    }
    for (const std::string& line : truth("net-netlink")) {
      const auto fields = words(line);
      if (fields.size() > 9 && fields[0] != "sk") {
        found[fields[9]] = fmt::format("nl\tUNCONN\t{}:{}\t-", fields[1], fields[2]);
      }
    }
    for (const std::string& line : truth("net-unix")) {
      const auto fields = words(line);
      if (fields.size() > 7 && fields[4] == "0002") {
        found[fields[6]] = fmt::format("u_dgr\tUNCONN\t{}\t-", fields[7]);
      }
    }
    return found;
  }

  std::unique_ptr<QemuGuest> guest_;
  std::unique_ptr<Mount> mount_;
};

TEST_F(MountsAndSockets, RunningGuest_AsItsProcSays) {
  std::vector<std::string> mounts;
  for (const std::string& line : truth("mount")) {
    mounts.push_back(mount_row(line));
  }
  EXPECT_THAT(rows("mounts"), ElementsAreArray(mounts));
  EXPECT_THAT(mounts, Contains(HasSubstr("\t/\t/mnt/a b\ttmpfs\tfiles\trw,nosuid,nodev,noexec,noatime")));
  EXPECT_THAT(mounts, Contains(HasSubstr("\t/inner\t/mnt/a b/proc\ttmpfs\ttmpfs\trw")));
  EXPECT_GE(mounts.size(), 8U) << guest_->serial();

  const auto tables = sockets_of_tables();
  std::vector<std::string> sockets;
  std::string protocols;
  for (const std::string& line : truth("socket")) { // /proc/PID/fd/FD socket:[INODE]
    const auto parts = split(line, '/');
    const std::size_t begin = line.find('[') + 1;
    const std::string inode = line.substr(begin, line.find(']') - begin);
    ASSERT_EQ(parts.size(), 5U) << line;
    const auto known = tables.find(inode);
    ASSERT_NE(known, tables.end()) << line << "\n" << guest_->serial();
    sockets.push_back(fmt::format("{}\t{}\t{}\t{}\tbusybox", known->second, inode, parts[2],
                                  parts[4].substr(0, parts[4].find(' '))));
    protocols += sockets.back() + "\n";
  }
  EXPECT_THAT(rows("sockets"), UnorderedElementsAreArray(sockets));
  for (const char* part : {"tcp\tLISTEN\t127.0.0.1:8080\t", "tcp\tLISTEN\t[::]:7000\t", "\t127.0.0.1:7000\t",
                           "tcp\tESTAB\t[::ffff:127.0.0.1]:7000\t", "udp\tUNCONN\t0.0.0.0:67\t", "raw\t",
                           "nl\t", "u_dgr\tUNCONN\t/dev/log\t"}) {
    EXPECT_THAT(protocols, HasSubstr(part));
  }
}

} // namespace
} // namespace vmemfs::test
