// SPDX-License-Identifier: MIT
// Fixture that compares `linux/` with what the guest prints of its own kernel: hashes of /proc/kallsyms and
// of the types of kernel and modules, its modules, its log, its processes and its banner.
#pragma once

#include "e2e/images/linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
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

/// errno of open(2); 0: it can be opened.
inline int open_error(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  return file ? 0 : errno;
}

/// Words on the guest's command line: it loads modules first.
inline constexpr const char* kWithModules = "vmemfs.truth vmemfs.modules";

class KernelFiles : public testing::Test {
protected:
  void start(std::vector<std::string> options, const std::string& words) {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    guest_ = std::make_unique<QemuGuest>(linux_guest(std::move(options), words));
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
  }
  void boot(std::vector<std::string> options, const std::string& words = kWithModules) {
    ASSERT_NO_FATAL_FAILURE(start(std::move(options), words));
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
  /// What the guest says of itself.
  [[nodiscard]] std::vector<std::string> truths(const std::string& of) const {
    return linux_truths(said(), of);
  }
  [[nodiscard]] std::string truth(const std::string& of) const {
    const auto all = truths(of);
    return all.empty() ? "the guest does not say: " + of : all.front();
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
    expect_modules_of_the_guest();
    expect_log_of_the_guest();
    expect_processes_of_the_guest();
  }

  /// Its /proc/modules and /sys/kernel/btf.
  void expect_modules_of_the_guest() {
    std::string list = "NAME\tSIZE\tREFERENCES\tSTATE\tADDRESS\n";
    const auto modules = truths("modules");
    for (const std::string& line : modules) {
      std::istringstream fields{line};
      std::string name;
      std::string size;
      std::string references;
      std::string users;
      std::string state;
      std::string address;
      fields >> name >> size >> references >> users >> state >> address;
      list += fmt::format("{}\t{}\t{}\t{}\t{}\n", name, size, references, state, address);
    }
    EXPECT_THAT(read_file(path("modules")), // blanks may follow
                testing::StartsWith(list + fmt::format("# complete: {} modules", modules.size())));

    std::set<std::string> with_types{"vmlinux"};
    for (const std::string& line : truths("types")) {
      const std::size_t blank = line.find(' ');
      const std::string file = path("btf/" + line.substr(0, blank));
      with_types.insert(line.substr(0, blank));
      EXPECT_THAT(hash_of(file), testing::StartsWith(line.substr(blank + 1, 64))) << file;
      EXPECT_EQ(std::filesystem::file_size(file), read_file(file).size()) << file;
    }
    EXPECT_EQ(names(path("btf")), with_types);
    EXPECT_EQ(open_error(path("btf/no_such_module")), ENOENT);
  }

  /// The guest's `dmesg`; what it logs later follows.
  void expect_log_of_the_guest() {
    const std::string hash = truth("dmesg").substr(0, 64);
    EXPECT_THAT(read_file(path("dmesg")), testing::HasSubstr("[    0.000000] Linux version "));
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
    unsigned compared = 0;
    for (const std::string& line : truths("ps")) {
      std::istringstream fields{line};
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
