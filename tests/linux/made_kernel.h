// SPDX-License-Identifier: MIT
// A made kernel with a list of processes, for tests and fuzzers.
#pragma once

#include "linux/made_memory.h"
#include "linux/made_types.h"
#include "linux/running_kernel.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class MadeKernel {
public:
  static constexpr std::uint64_t kInit = 0xffffffff82000000;
  static constexpr std::uint64_t kSocketOperations = 0xffffffff82100000;
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
  /// A text of this kernel, or the error.
  [[nodiscard]] std::string text(Result<std::string> (*make)(const RunningKernel&),
                                 Made::MountsAre mounts = Made::MountsAre::tree) {
    const auto types = Made::types(mounts);
    const KernelSymbols symbols{{{kInit, 9, 'D'}, {kSocketOperations, 24, 'd'}}, "init_tasksocket_file_ops"};
    const KernelSymbols code{{{kInit, 6, 'T'}}, "_stext"};
    const Vmcoreinfo info{.text = {}, .swapper_pg_dir = 0};
    const auto made =
        has_data_symbols ? make({memory, symbols, *types, info}) : make({memory, code, *types, info, kInit});
    return made ? *made : "error: " + made.error().text;
  }

  MadeMemory memory;
  bool has_data_symbols = true; ///< CONFIG_KALLSYMS_ALL

private:
  using Task = Made::Task;

  void write_task(std::uint64_t address, std::uint32_t pid, std::string_view comm) {
    memory.write_text(address, std::string(Task::kBytes, '\0'));
    memory.write(address + Task::kPid, pid);
    memory.write(address + Task::kTgid, pid);
    memory.write_text(address + Task::kComm, comm);
    memory.write(address + Task::kState, std::uint32_t{1});
    memory.write(address + Task::kFlags, std::uint32_t{0x200000});
    memory.write(address + Task::kRealParent, kInit);
    memory.write(address + Task::kGroupLeader, address);
    memory.write(address + Task::kRealCred, kInit); // the number there is 0
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

} // namespace vmemfs
