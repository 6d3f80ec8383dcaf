// SPDX-License-Identifier: MIT
// `linux/` of an aarch64 guest of QEMU, whose kernel has symbols of code alone and whose registers are not
// known. The truth is what the guest prints of itself.
#include "core/text.h"
#include "e2e/images/elf_file.h"
#include "kernel_files.h"
#include "mount_rows.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Aarch64 : public KernelFiles {
protected:
  void boot_aarch64() {
    const auto built = build_aarch64_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    guest_ = std::make_unique<QemuGuest>(aarch64_guest("vmemfs.truth"));
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
    ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
  }

  void expect_kernel_of_the_guest() {
    const nlohmann::json kernel = info();
    ASSERT_EQ(kernel["found"], true) << kernel;
    EXPECT_EQ(kernel["architecture"], "aarch64");
    EXPECT_EQ(kernel["page_tables"]["levels"], 4);
    EXPECT_THAT(kernel["proof"].get<std::string>(), HasSubstr("by the kernel's own structures"));
    EXPECT_THAT(truth("banner"), StartsWith("Linux version " + kernel["release"].get<std::string>() + " "));
    EXPECT_THAT(read_file(path("banner")), StartsWith(truth("banner") + "\n"));
    ASSERT_EQ(kernel["missing"].size(), 1U) << kernel;
    EXPECT_THAT(kernel["missing"][0]["why"].get<std::string>(), HasSubstr("without CONFIG_KALLSYMS_ALL"));
    EXPECT_EQ(names(path("")), (std::set<std::string>{"info", "banner", "vmcoreinfo", "dmesg", "ps", "mounts",
                                                      "sockets", "System.map", "kallsyms", "btf"}));
  }

  void expect_symbols_and_types_of_the_guest() {
    const std::string symbols = read_file(path("kallsyms"));
    const std::size_t end = symbols.find("# incomplete: ");
    ASSERT_NE(end, std::string::npos) << "nobody knows what modules there are";
    write_file(dir_ / "kallsyms", symbols.substr(0, end));
    EXPECT_THAT(hash_of(dir_ / "kallsyms"), StartsWith(truth("kallsyms").substr(0, 64)));
    EXPECT_THAT(hash_of(path("btf/vmlinux")), StartsWith(truth("btf").substr(0, 64)));
    EXPECT_EQ(names(path("btf")), std::set<std::string>{"vmlinux"});
    const auto offset = std::stoull(info()["kaslr_offset"].get<std::string>(), nullptr, 16);
    const auto text = std::stoull(info()["text"].get<std::string>(), nullptr, 16);
    EXPECT_NE(offset, 0U) << "the kernel lies elsewhere at each boot";
    EXPECT_THAT(line_with(read_file(path("System.map")), " T _stext"),
                StartsWith(fmt::format("{:016x} ", text - offset)));
  }

  void expect_lists_of_the_guest() {
    expect_log_of_the_guest();
    expect_processes_of_the_guest();
    std::string mounts = "ID\tPARENT\tDEVICE\tROOT\tMOUNTPOINT\tTYPE\tSOURCE\tOPTIONS\n";
    for (const std::string& line : truths("mount")) {
      mounts += mount_row(line) + "\n";
    }
    EXPECT_THAT(read_file(path("mounts")), StartsWith(mounts + "# complete: "));
    EXPECT_EQ(open_error(path("modules")), ENODATA);
    std::set<std::string> sockets;                     // inode, process and descriptor
    for (const std::string& line : truths("socket")) { // /proc/PID/fd/FD socket:[INODE]
      const auto parts = split(line, '/');
      const std::size_t begin = line.find('[') + 1;
      sockets.insert(fmt::format("{} {} {}", line.substr(begin, line.find(']') - begin), parts.at(2),
                                 parts.at(4).substr(0, parts.at(4).find(' '))));
    }
    EXPECT_GT(sockets.size(), 5U);
    std::set<std::string> listed;
    const std::string text = read_file(path("sockets"));
    for (const std::string_view line : split(text, '\n')) {
      if (const auto fields = split(line, '\t'); fields.size() == 8 && fields[0] != "PROTOCOL") {
        listed.insert(fmt::format("{} {} {}", fields[4], fields[5], fields[6]));
      }
    }
    EXPECT_EQ(listed, sockets);
    EXPECT_EQ(open_error(path("vmlinux")), ENODATA);
  }

  void show(const std::string& file, const std::string& format) {
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=dump:path={},format={}", file, format)});
  }

  const TempDir dir_;
};

TEST_F(Aarch64, RunningGuest_FilesAreWhatTheGuestSays) {
  boot_aarch64();
  if (IsSkipped()) {
    return;
  }
  ASSERT_NO_FATAL_FAILURE(expect_kernel_of_the_guest());
  expect_symbols_and_types_of_the_guest();
  expect_lists_of_the_guest();
  EXPECT_FALSE(exists(*mount_ / "vm/vcpus/0/virt")) << "registers are not known";
  const UniqueFd core{::open((*mount_ / "vm/core").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto header = pread_at(core.get(), 0, 65536);
  ASSERT_EQ(header.error, 0);
  const std::string bytes{reinterpret_cast<const char*>(header.bytes.data()), header.bytes.size()};
  EXPECT_EQ(ElfFile{bytes}.notes("VMCOREINFO"), std::vector<std::string>{read_file(path("vmcoreinfo"))});
  EXPECT_EQ(static_cast<unsigned char>(bytes[18]), EM_AARCH64);

  guest_->pause();
  guest_->monitor().execute("system_reset");
  EXPECT_EQ(info()["found"], false) << "QEMU has put the kernel's file there again";
  EXPECT_EQ(open_error(path("dmesg")), ENODATA);
}

TEST_F(Aarch64, SavedMemory_FilesAreWhatTheGuestSaid) {
  boot_aarch64();
  if (IsSkipped()) {
    return;
  }
  guest_->pause();
  const auto saved = run({VMEMFS_PROGRAM, "save", "--format", "lime", *mount_ / "vm", dir_ / "lime"});
  ASSERT_EQ(saved.code, 0) << saved.text;
  guest_->monitor().execute("dump-guest-memory", {{"paging", false}, {"protocol", "file:" + (dir_ / "elf")}});
  for (const char* const format : {"lime", "elf"}) { // the second has registers
    SCOPED_TRACE(format);
    show(dir_ / format, format);
    ASSERT_NO_FATAL_FAILURE(expect_kernel_of_the_guest());
    expect_symbols_and_types_of_the_guest();
    expect_lists_of_the_guest();
  }
}

} // namespace
} // namespace vmemfs::test
