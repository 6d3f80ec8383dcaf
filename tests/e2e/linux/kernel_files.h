// SPDX-License-Identifier: MIT
// Fixture that compares `linux/` with what the guest prints of its own kernel: hashes of /proc/kallsyms and
// of its types, its log, its processes and its banner.
#pragma once

#include "e2e/images/linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <cstddef>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {

/// Names in a directory.
inline std::set<std::string> names(const std::string& directory) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator{directory}) {
    found.insert(entry.path().filename());
  }
  return found;
}

class KernelFiles : public testing::Test {
protected:
  void start(std::vector<std::string> options) {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    guest_ = std::make_unique<QemuGuest>(linux_guest(std::move(options), "vmemfs.truth"));
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
  }
  void boot(std::vector<std::string> options) {
    ASSERT_NO_FATAL_FAILURE(start(std::move(options)));
    if (!IsSkipped()) {
      ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
    }
  }
  [[nodiscard]] std::string path(const std::string& name) const { return *mount_ / ("vm/linux/" + name); }
  [[nodiscard]] nlohmann::json info() const { return nlohmann::json::parse(read_file(path("info"))); }
  /// What the guest printed since its last boot.
  [[nodiscard]] std::string said() const { return guest_->serial().substr(boot_begin_); }
  /// Boots it again, with all that its memory has.
  void reset() {
    boot_begin_ = guest_->serial().size();
    guest_->monitor().execute("system_reset");
    guest_->resume();
    ASSERT_TRUE(eventually([&] { return said().find(kLinuxIsUp) != std::string::npos; }, kLinuxBoot))
        << said();
  }
  /// What the guest says of itself, behind the words.
  [[nodiscard]] std::string truth(const std::string& of) const {
    const std::string words = "vmemfs-linux " + of + ": ";
    const std::string line = line_with(said(), words);
    const std::size_t begin = line.find(words) + words.size();
    return line.substr(begin, line.find_first_of("\r\n", begin) - begin);
  }
  [[nodiscard]] static std::string hash_of(const std::string& file) {
    return run({"/bin/sh", "-c", "sha256sum <'" + file + "'"}).text;
  }
  void expect_files_of_the_kernel() {
    EXPECT_THAT(read_file(path("banner")), testing::StartsWith(truth("banner") + "\n"));
    const nlohmann::json kernel = info();
    EXPECT_EQ(kernel["found"], true) << kernel;
    EXPECT_EQ(kernel["missing"], nlohmann::json::array()) << kernel;
    EXPECT_THAT(truth("banner"),
                testing::StartsWith("Linux version " + kernel["release"].get<std::string>() + " "));
    EXPECT_THAT(hash_of(path("kallsyms")), testing::StartsWith(truth("kallsyms").substr(0, 64)));
    EXPECT_THAT(hash_of(path("btf/vmlinux")), testing::StartsWith(truth("btf").substr(0, 64)));
    expect_log_of_the_guest();
    expect_processes_of_the_guest();
  }

  /// The guest's `dmesg`; what it logs later follows.
  void expect_log_of_the_guest() {
    const std::string hash = truth("dmesg").substr(0, 64);
    EXPECT_THAT(read_file(path("dmesg")), testing::StartsWith("[    0.000000] Linux version "));
    // Without times, and without the space before further lines of a record: busybox repeats the time there.
    const std::string log =
        run({"/bin/sh", "-c", "sed 's/^\\[[^]]*\\] //; s/^ *//; s/ *$//' '" + path("dmesg") + "'"}).text;
    const TempDir dir;
    bool found = false;
    for (std::size_t end = log.rfind('\n'); !found && end != std::string::npos && end > 0;
         end = log.rfind('\n', end - 1)) {
      write_file(dir / "log", log.substr(0, end + 1));
      found = hash_of(dir / "log").starts_with(hash);
    }
    EXPECT_TRUE(found) << log;
  }
  /// Processes that live as long as the guest.
  void expect_processes_of_the_guest() {
    std::string list;
    EXPECT_TRUE(eventually(
        [&] {
          list = read_file(path("ps"));
          return list.find("# complete: ") != std::string::npos;
        },
        kLinuxBoot))
        << list;
    const std::string words = "vmemfs-linux ps: ";
    unsigned compared = 0;
    std::istringstream lines{said()};
    for (std::string line; std::getline(lines, line);) {
      const std::size_t begin = line.find(words);
      if (begin == std::string::npos) {
        continue;
      }
      std::istringstream fields{line.substr(begin + words.size())};
      std::string pid;
      std::string parent;
      std::string state;
      std::string name;
      fields >> pid >> parent >> state >> name;
      // The list has programs of the listing itself, and /proc adds to a worker's name what it works for.
      if (pid == "PID" || name == "busybox" || name.starts_with("kworker/")) {
        continue;
      }
      EXPECT_THAT(list,
                  testing::ContainsRegex(fmt::format("(^|\n){}\t{}\t0\t[A-Z]\t{}\t", pid, parent, name)));
      ++compared;
    }
    EXPECT_GT(compared, 20U) << said();
    EXPECT_THAT(list, testing::ContainsRegex("\tbusybox\t/bin/busybox\t/bin/busybox sleep 1000"));
  }

  std::size_t boot_begin_ = 0; ///< in what it printed
  std::unique_ptr<QemuGuest> guest_;
  std::unique_ptr<Mount> mount_;
};

} // namespace vmemfs::test
