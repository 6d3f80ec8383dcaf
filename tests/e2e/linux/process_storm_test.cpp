// SPDX-License-Identifier: MIT
// `linux/ps` of a guest that starts and ends processes without end, and is not paused: each list has what
// lives on, no row is made of memory that was used again, and a list with less says so.
#include "e2e/images/linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {
namespace {

/// VMEMFS_STORM_READS in the environment overrides it.
constexpr unsigned kReads = 2'000;
constexpr std::size_t kColumns = 7;

struct Row {
  std::string parent;
  std::string state;
  std::string name;
  std::string path;
  std::string command;
};

struct List {
  std::map<std::string, Row> rows; ///< by pid
  bool complete = false;
};

/// nullopt: a line is none of a list.
std::optional<List> parse(const std::string& text) {
  List list;
  std::istringstream lines{text};
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    last = line;
    if (line.starts_with("PID\t") || line.starts_with("# ")) {
      continue;
    }
    std::vector<std::string> columns;
    std::istringstream fields{line};
    for (std::string field; std::getline(fields, field, '\t');) {
      columns.push_back(field);
    }
    if (columns.size() != kColumns ||
        !list.rows.emplace(columns[0], Row{columns[1], columns[3], columns[4], columns[5], columns[6]})
             .second) {
      return std::nullopt;
    }
  }
  list.complete = last.starts_with("# complete: ");
  return list.complete || last.starts_with("# incomplete: ") ? std::optional{list} : std::nullopt;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Whether a process of this guest can look like this: all programs are busybox, or threads of the kernel. A
/// process that ends or starts a program has no memory of its own for a moment, or no arguments yet.
bool possible(const std::string& pid, const Row& row) {
  static const std::set<std::string_view> kStates{"R", "S", "D", "I", "Z", "X", "T", "P"};
  const bool form =
      is_number(pid) && is_number(row.parent) && kStates.contains(row.state) && !row.name.empty();
  const bool program = row.path == "/bin/busybox" || row.path == "-" || row.path == "?";
  const bool command = row.command == "-" || row.command == "?" || row.command.starts_with("/bin/busybox ");
  return form && program && command;
}

TEST(ProcessStorm, ManyReads_NoWrongRow) {
  const auto built = build_linux_guest();
  if (built.code != 0) {
    GTEST_SKIP() << "no Linux guest: " << built.text;
  }
  QemuGuest guest{linux_guest({"-smp", "2"}, "vmemfs.storm")};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  ASSERT_TRUE(guest.wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest.serial();
  const std::string path = mount / "vm/linux/ps";

  const char* const wanted = std::getenv("VMEMFS_STORM_READS");
  const unsigned reads = wanted != nullptr ? static_cast<unsigned>(std::stoul(wanted)) : kReads;
  std::map<std::string, Row> lasting; // those of the first list that are in the last one too
  std::set<std::string> pids;
  unsigned incomplete = 0;
  for (unsigned i = 0; i < reads; ++i) {
    const std::string text = read_file(path);
    const auto list = parse(text);
    ASSERT_TRUE(list) << text;
    for (const auto& [pid, row] : list->rows) {
      ASSERT_TRUE(possible(pid, row)) << "process " << pid << " of\n" << text;
      pids.insert(pid);
    }
    if (!list->complete) {
      ++incomplete;
      continue;
    }
    // The first process and the kernel's threads live as long as the guest.
    for (const std::string pid : {"1", "2"}) {
      ASSERT_TRUE(list->rows.contains(pid)) << "process " << pid << " is not in\n" << text;
    }
    if (lasting.empty()) {
      for (const auto& [pid, row] : list->rows) {
        if (row.parent == "2" && !row.name.starts_with("kworker/")) {
          lasting.emplace(pid, row);
        }
      }
    }
    for (const auto& [pid, row] : lasting) {
      const auto now = list->rows.find(pid);
      ASSERT_NE(now, list->rows.end()) << "process " << pid << " is not in\n" << text;
      EXPECT_EQ(now->second.name, row.name);
      EXPECT_EQ(now->second.parent, "2");
    }
  }
  EXPECT_GT(lasting.size(), 10U);
  EXPECT_GT(pids.size(), lasting.size() + 50) << "the guest forks all the time";
  EXPECT_LT(incomplete, reads / 10);
  std::printf("%u of %u lists incomplete, %zu processes seen\n", incomplete, reads, pids.size());
}

} // namespace
} // namespace vmemfs::test
