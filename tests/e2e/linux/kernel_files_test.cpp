// SPDX-License-Identifier: MIT
// `linux/` of a Linux guest of QEMU, found in its memory alone. The truth is what the guest prints of its own
// kernel: hashes of /proc/kallsyms and of its types, and its banner.
#include "e2e/images/linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
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
#include <vector>

namespace vmemfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Json = nlohmann::json;

/// errno of open(2); 0: it can be opened.
int open_error(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  return file ? 0 : errno;
}

std::set<std::string> names(const std::string& directory) {
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
  [[nodiscard]] Json info() const { return Json::parse(read_file(path("info"))); }
  /// What the guest says of itself, behind the words.
  [[nodiscard]] std::string truth(const std::string& of) const {
    const std::string words = "vmemfs-linux " + of + ": ";
    const std::string line = line_with(guest_->serial(), words);
    const std::size_t begin = line.find(words) + words.size();
    return line.substr(begin, line.find_first_of("\r\n", begin) - begin);
  }
  [[nodiscard]] static std::string hash_of(const std::string& file) {
    return run({"/bin/sh", "-c", "sha256sum <'" + file + "'"}).text;
  }
  void expect_files_of_the_kernel() {
    EXPECT_THAT(read_file(path("banner")), StartsWith(truth("banner") + "\n"));
    const Json kernel = info();
    EXPECT_EQ(kernel["found"], true) << kernel;
    EXPECT_EQ(kernel["missing"], Json::array()) << kernel;
    EXPECT_THAT(truth("banner"), StartsWith("Linux version " + kernel["release"].get<std::string>() + " "));
    EXPECT_THAT(hash_of(path("kallsyms")), StartsWith(truth("kallsyms").substr(0, 64)));
    EXPECT_THAT(hash_of(path("btf/vmlinux")), StartsWith(truth("btf").substr(0, 64)));
    expect_log_of_the_guest();
    expect_processes_of_the_guest();
  }

  /// The guest's `dmesg`; what it logs later follows.
  void expect_log_of_the_guest() {
    const std::string hash = truth("dmesg").substr(0, 64);
    EXPECT_THAT(read_file(path("dmesg")), StartsWith("[    0.000000] Linux version "));
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
    std::istringstream lines{guest_->serial()};
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
      EXPECT_THAT(list, ContainsRegex(fmt::format("(^|\n){}\t{}\t0\t[A-Z]\t{}\t", pid, parent, name)));
      ++compared;
    }
    EXPECT_GT(compared, 20U) << guest_->serial();
    EXPECT_THAT(list, ContainsRegex("\tbusybox\t/bin/busybox\t/bin/busybox sleep 1000"));
  }

  std::unique_ptr<QemuGuest> guest_;
  std::unique_ptr<Mount> mount_;
};

TEST_F(KernelFiles, RunningGuest_FilesAreWhatTheGuestSays) {
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  const std::string known = "vmemfs_vm_linux_info{vm=\"vm\",driver=\"qemu\",release=\"";
  EXPECT_THAT(read_file(*mount_ / ".vmemfs/stats"), Not(HasSubstr(known))) << "nobody asked for it";
  expect_files_of_the_kernel();
  EXPECT_THAT(read_file(*mount_ / ".vmemfs/stats"),
              HasSubstr(known + info()["release"].get<std::string>() + "\"} 1\n"));
  EXPECT_EQ(names(path("")),
            (std::set<std::string>{"info", "banner", "vmcoreinfo", "dmesg", "ps", "modules", "mounts",
                                   "System.map", "kallsyms", "btf", "symbols", "vmlinux"}));
  EXPECT_EQ(std::filesystem::file_size(path("kallsyms")), read_file(path("kallsyms")).size());
  EXPECT_EQ(std::filesystem::file_size(path("btf/vmlinux")), read_file(path("btf/vmlinux")).size());

  const auto offset = std::stoull(info()["kaslr_offset"].get<std::string>(), nullptr, 16);
  EXPECT_NE(offset, 0U) << "the kernel lies elsewhere at each boot";
  EXPECT_THAT(line_with(read_file(path("System.map")), " T _text"), StartsWith("ffffffff81000000 "));
  EXPECT_THAT(line_with(read_file(path("kallsyms")), " T _text"),
              StartsWith(fmt::format("{:016x} ", 0xffffffff81000000 + offset)));
}

TEST_F(KernelFiles, Q35WithFiveLevels_FilesAreWhatTheGuestSays) {
  boot({"-machine", "q35", "-cpu", "max,la57=on"});
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  expect_files_of_the_kernel();
  EXPECT_EQ(info()["page_tables"]["levels"], 5);
}

TEST_F(KernelFiles, AfterAReset_TheFormerKernelIsNotShown) {
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  expect_files_of_the_kernel();
  const std::string before = read_file(path("kallsyms"));
  const UniqueFd open_before{::open(path("kallsyms").c_str(), O_RDONLY | O_CLOEXEC)};

  guest_->monitor().execute("system_reset"); // memory keeps what it has
  EXPECT_EQ(info()["found"], false);
  EXPECT_THAT(info()["reason"].get<std::string>(), HasSubstr("no vCPU runs a kernel"));
  EXPECT_EQ(open_error(path("kallsyms")), ENODATA);
  EXPECT_EQ(open_error(path("btf/vmlinux")), ENODATA);
  const auto kept = pread_at(open_before.get(), 0, before.size());
  EXPECT_EQ(kept.error, 0) << "an open file keeps what it has";

  guest_->resume();
  ASSERT_TRUE(eventually([&] { return info()["found"] == true; }, kLinuxBoot));
  guest_->pause();
  EXPECT_NE(read_file(path("kallsyms")), before) << "the kernel lies elsewhere at each boot";
}

TEST_F(KernelFiles, GuestWithoutLinux_InfoSaysWhy) {
  guest_ = std::make_unique<QemuGuest>(GuestOptions{});
  mount_ = std::make_unique<Mount>(
      std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
  EXPECT_EQ(info()["found"], false);
  EXPECT_THAT(info()["reason"].get<std::string>(), HasSubstr("no VMCOREINFO"));
  EXPECT_EQ(names(path("")), std::set<std::string>{"info"});
  EXPECT_EQ(open_error(path("System.map")), ENODATA);
}

} // namespace
} // namespace vmemfs::test
