// SPDX-License-Identifier: MIT
#include "linux/btf_builder.h"
#include "linux/made_memory.h"
#include "linux/tasks/process_list.h"

#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {
namespace {

/// A kernel with made structures: their order and sizes are no real kernel's.
class MadeKernel {
public:
  static constexpr std::uint64_t kInit = 0xffffffff82000000;
  static constexpr std::uint64_t kTasks = 0xffff888000100000;

  MadeKernel() {
    write_task(kInit, 0, "swapper/0");
    link();
  }

  static std::uint64_t task(unsigned index) { return kTasks + std::uint64_t{0x1000} * index; }

  /// Appends a kernel thread.
  void add(std::uint32_t pid, std::string_view comm) {
    const std::uint64_t address = task(static_cast<unsigned>(tasks_.size()));
    write_task(address, pid, comm);
    tasks_.push_back(address);
    link();
  }
  void remove(unsigned index) {
    memory.write(tasks_[index] + 8, std::uint64_t{0xdead000000000122}); // as list_del_rcu() does
    tasks_.erase(tasks_.begin() + index);
    link();
  }
  [[nodiscard]] std::string list() {
    const auto types = made_types();
    const KernelSymbols symbols{{{kInit, 9, 'D'}}, "init_task"};
    const Vmcoreinfo info{.text = {}, .swapper_pg_dir = 0};
    const auto text = process_list({memory, symbols, *types, info});
    return text ? *text : "error: " + text.error().text;
  }

  MadeMemory memory;

private:
  static std::shared_ptr<const btf::Types> made_types() {
    BtfBuilder btf;
    const auto u32 = btf.integer("unsigned int", 4);
    const auto u64 = btf.integer("long unsigned int", 8);
    const auto comm = btf.array(btf.integer("char", 1, BtfBuilder::kChar), 16, u32);
    const auto pointer = btf.pointer(0);
    const auto list = btf.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 64}});
    btf.structure("task_struct", 128,
                  {{"tasks", list, 0},
                   {"pid", u32, 128},
                   {"tgid", u32, 160},
                   {"comm", comm, 192},
                   {"__state", u32, 320},
                   {"exit_state", u32, 352},
                   {"flags", u32, 384},
                   {"real_parent", pointer, 448},
                   {"group_leader", pointer, 512},
                   {"mm", pointer, 576},
                   {"real_cred", pointer, 640}});
    btf.structure("cred", 8, {{"uid", u32, 32}});
    btf.structure(
        "mm_struct", 32,
        {{"pgd", pointer, 0}, {"exe_file", pointer, 64}, {"arg_start", u64, 128}, {"arg_end", u64, 192}});
    const auto path = btf.structure("path", 16, {{"mnt", pointer, 0}, {"dentry", pointer, 64}});
    btf.structure("file", 16, {{"f_path", path, 0}});
    const auto name = btf.structure("qstr", 16, {{"len", u32, 32}, {"name", pointer, 64}});
    const auto hash = btf.structure("hlist_bl_node", 16, {{"next", pointer, 0}, {"pprev", pointer, 64}});
    btf.structure("dentry", 40, {{"d_hash", hash, 0}, {"d_parent", pointer, 128}, {"d_name", name, 192}});
    const auto mount = btf.structure("vfsmount", 8, {{"mnt_root", pointer, 0}});
    btf.structure("mount", 24,
                  {{"mnt_parent", pointer, 0}, {"mnt_mountpoint", pointer, 64}, {"mnt", mount, 128}});
    auto types = btf::Types::parse(btf.bytes());
    return types ? *types : nullptr;
  }

  void write_task(std::uint64_t address, std::uint32_t pid, std::string_view comm) {
    memory.write_text(address, std::string(128, '\0'));
    memory.write(address + 16, pid);
    memory.write(address + 20, pid);
    memory.write_text(address + 24, comm);
    memory.write(address + 40, std::uint32_t{1});
    memory.write(address + 48, std::uint32_t{0x200000});
    memory.write(address + 56, kInit);
    memory.write(address + 64, address);
    memory.write(address + 80, kInit); // the number there is 0
  }
  void link() {
    std::uint64_t before = kInit;
    for (const std::uint64_t address : tasks_) {
      memory.write(before, address);
      memory.write(address + 8, before);
      before = address;
    }
    memory.write(before, kInit);
    memory.write(kInit + 8, before);
  }

  std::vector<std::uint64_t> tasks_;
};

constexpr std::string_view kHeader = "PID\tPPID\tUID\tSTATE\tNAME\tPROGRAM\tCOMMAND\n";

std::string row(unsigned pid, std::string_view name) {
  return std::to_string(pid) + "\t0\t*\tS\t" + std::string{name} + "\t-\t-\n";
}

/// The user id is not what these tests are about.
std::string without_uid(std::string text) {
  for (std::size_t at = text.find("\t0\t"); at != std::string::npos; at = text.find("\t0\t", at + 1)) {
    const std::size_t end = text.find('\t', at + 3);
    text.replace(at + 3, end - at - 3, "*");
  }
  return text;
}

TEST(ProcessList, KernelThreads_ARowEach) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "bad\n\xff");
  EXPECT_EQ(without_uid(kernel.list()),
            std::string{kHeader} + row(1, "init") + row(2, "bad\\x0a\\xff") + "# complete: 2 processes\n");
}

TEST(ProcessList, ListThatNeverEnds_SaidAsIncomplete) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "two");
  kernel.memory.write(MadeKernel::task(1), MadeKernel::task(0));
  EXPECT_TRUE(kernel.list().ends_with(
      "# incomplete: 2 processes; the list changed while it was read, or is damaged\n"));
}

TEST(ProcessList, PidBeyondTheLimit_NoRow) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(5'000'000, "wrong");
  const std::string text = kernel.list();
  EXPECT_EQ(text.find("wrong"), std::string::npos);
  EXPECT_NE(text.find("# incomplete: 1 processes"), std::string::npos);
}

TEST(ProcessList, ProcessThatEndsWhileItIsRead_OthersAreComplete) {
  MadeKernel kernel;
  kernel.add(1, "init");
  kernel.add(2, "short");
  kernel.add(3, "long");
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MadeKernel::task(1) && ++reads == 2) { // the check after its row was made
      kernel.remove(1);
    }
  };
  EXPECT_EQ(without_uid(kernel.list()),
            std::string{kHeader} + row(1, "init") + row(3, "long") + "# complete: 2 processes\n");
}

} // namespace
} // namespace vmemfs
