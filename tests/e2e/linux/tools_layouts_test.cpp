// SPDX-License-Identifier: MIT
// `core` with `linux/vmlinux` in Debian's gdb, drgn and crash, for guests of other sizes, machines and kinds
// of memory: of the paused guest itself, and of an image that `vmemfs save` made of it. The truth is what the
// guest printed, and QEMU's registers.
#include "e2e/images/linux_guest.h"
#include "support/files.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

struct Layout {
  std::string name;
  std::string memory;
  std::vector<std::string> options;
};

void PrintTo(const Layout& layout, std::ostream* out) { *out << layout.name; }

/// Shared by the options of a guest with one block of memory.
std::vector<std::string> one_block(const std::string& machine, const std::string& backend) {
  return {"-object", backend + ",id=ram", "-machine", machine + ",memory-backend=ram"};
}

std::vector<Layout> layouts() {
  return {
      {"pc_512M_file", "512M", one_block("pc", "memory-backend-file,share=on,size=512M,mem-path=DIR/ram")},
      {"q35_512M_numa",
       "512M",
       {"-machine", "q35", "-object", "memory-backend-memfd,id=a,size=192M", "-object",
        "memory-backend-ram,id=b,size=320M", "-numa", "node,memdev=a,cpus=0", "-numa",
        "node,memdev=b,cpus=1"}},
      {"q35_5G_memfd", "5G", one_block("q35", "memory-backend-memfd,share=on,size=5G")},
      {"pc_5G_anonymous", "5G", {}},
  };
}

/// Processes that live as long as the guest, "PID NAME" as it printed them.
std::set<std::string> printed_tasks(const std::string& serial) {
  std::set<std::string> tasks;
  for (const std::string& line : linux_truths(serial, "ps")) {
    std::istringstream fields{line};
    std::string pid;
    std::string parent;
    std::string state;
    std::string name;
    fields >> pid >> parent >> state >> name;
    if (pid != "PID" && name != "busybox" && !name.starts_with("kworker/")) {
      tasks.insert(fmt::format("{} {}", pid, name));
    }
  }
  return tasks;
}

class ToolsOnLayout : public testing::TestWithParam<Layout> {
protected:
  void SetUp() override {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    std::vector<std::string> options = GetParam().options;
    for (std::string& option : options) {
      if (const auto at = option.find("DIR"); at != std::string::npos) {
        option.replace(at, 3, dir_.path());
      }
    }
    options.insert(options.end(), {"-smp", "2", "-cpu", "max,la57=off"});
    GuestOptions guest = linux_guest(options, "vmemfs.truth");
    guest.memory = GetParam().memory;
    guest_ = std::make_unique<QemuGuest>(guest);
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
    ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
    guest_->pause();
  }

  [[nodiscard]] std::string release() const {
    const std::string line = line_with(guest_->serial(), "banner: Linux version ");
    std::istringstream words{line.substr(line.find("Linux version "))};
    std::string word;
    words >> word >> word >> word;
    return word;
  }
  /// By QEMU itself.
  [[nodiscard]] std::string instruction_pointer(unsigned vcpu) const {
    const auto text = guest_->monitor().execute("human-monitor-command",
                                                {{"command-line", "info registers"}, {"cpu-index", vcpu}});
    const std::string registers = text.get<std::string>();
    return registers.substr(registers.find("RIP=") + 4, 16);
  }

  void expect_tasks(const std::string& core, const std::string& vmlinux) const {
    write_file(dir_ / "tasks.py", "from drgn.helpers.linux import for_each_task\n"
                                  "print('release', prog['init_uts_ns'].name.release.string_().decode())\n"
                                  "print('command line', prog['saved_command_line'].string_().decode())\n"
                                  "for task in for_each_task(prog):\n"
                                  "    if task.pid == task.tgid:\n"
                                  "        print('task', task.pid.value_(), task.comm.string_().decode())\n");
    const auto drgn = run({"drgn", "-q", "-c", core, "-s", vmlinux, dir_ / "tasks.py"});
    EXPECT_EQ(drgn.code, 0) << drgn.text;
    EXPECT_THAT(drgn.text, HasSubstr("release " + release() + "\n"));
    EXPECT_THAT(drgn.text, HasSubstr("command line console=ttyS0 quiet vmemfs.truth"));
    const auto tasks = printed_tasks(guest_->serial());
    EXPECT_GT(tasks.size(), 20U);
    for (const std::string& task : tasks) {
      EXPECT_THAT(drgn.text, HasSubstr("task " + task + "\n"));
    }
  }

  void expect_threads(const std::string& core, const std::string& vmlinux) const {
    const auto gdb = run({"gdb", "-nx", "-batch", "-ex", "info threads", "-ex",
                          "thread apply all -q -ascending printf \"rip %016lx\\n\", $rip", vmlinux, core});
    EXPECT_EQ(gdb.code, 0) << gdb.text;
    EXPECT_THAT(gdb.text,
                HasSubstr(fmt::format("rip {}\nrip {}\n", instruction_pointer(0), instruction_pointer(1))));
    EXPECT_THAT(gdb.text, Not(HasSubstr("  3  "))) << "a thread for each vCPU";
  }

  void expect_crash_starts(const std::string& core, const std::string& vmlinux) const {
    write_file(dir_ / "commands", "sys\nlist task_struct.tasks -s task_struct.comm -h init_task\nquit\n");
    const auto crash =
        run({"/bin/sh", "-c", fmt::format("crash -s '{}' '{}' <'{}'", vmlinux, core, dir_ / "commands")});
    EXPECT_EQ(crash.code, 0) << crash.text;
    EXPECT_THAT(crash.text, HasSubstr("CPUS: 2\n"));
    EXPECT_THAT(crash.text, HasSubstr("RELEASE: " + release() + "\n"));
    EXPECT_THAT(crash.text, HasSubstr("comm = \"kthreadd"));
  }

  TempDir dir_;
  std::unique_ptr<QemuGuest> guest_;
  std::unique_ptr<Mount> mount_;
};

TEST_P(ToolsOnLayout, LiveAndSavedCore_AreTheGuest) {
  if (IsSkipped()) {
    return;
  }
  const std::string vmlinux = *mount_ / "vm/linux/vmlinux";
  const std::string saved = dir_ / "saved.elf";
  const auto save = run({VMEMFS_PROGRAM, "save", *mount_ / "vm", saved});
  ASSERT_EQ(save.code, 0) << save.text;
  for (const std::string& core : {*mount_ / "vm/core", saved}) {
    SCOPED_TRACE(core);
    expect_tasks(core, vmlinux);
    expect_threads(core, vmlinux);
    expect_crash_starts(core, vmlinux);
  }
}

INSTANTIATE_TEST_SUITE_P(Guests, ToolsOnLayout, testing::ValuesIn(layouts()),
                         [](const auto& param) { return param.param.name; });

} // namespace
} // namespace vmemfs::test
