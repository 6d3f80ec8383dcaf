// SPDX-License-Identifier: MIT
#include "linux/tasks/task_layout.h"

#include "linux/structures/member_offsets.h"

namespace vmemfs {
namespace {

constexpr std::uint64_t kInt = 4;
constexpr std::uint64_t kLong = 8;

/// 5.14 made __state of state, which was a long, and has the same values.
std::uint64_t state_offset(MemberOffsets& offsets) {
  if (const auto state = offsets.find("task_struct", "state", kLong)) {
    return *state;
  }
  return offsets.offset("task_struct", "__state", kInt);
}

} // namespace

Result<TaskLayout> task_layout(const btf::Types& types) {
  MemberOffsets offsets{types};
  TaskLayout layout{.size = offsets.size("task_struct"),
                    .next = offsets.offset("task_struct", "tasks.next"),
                    .prev = offsets.offset("task_struct", "tasks.prev"),
                    .state = state_offset(offsets),
                    .exit_state = offsets.offset("task_struct", "exit_state", kInt),
                    .flags = offsets.offset("task_struct", "flags", kInt),
                    .pid = offsets.offset("task_struct", "pid", kInt),
                    .tgid = offsets.offset("task_struct", "tgid", kInt),
                    .comm = offsets.offset("task_struct", "comm", TaskLayout::kCommBytes),
                    .real_parent = offsets.offset("task_struct", "real_parent"),
                    .group_leader = offsets.offset("task_struct", "group_leader"),
                    .mm = offsets.offset("task_struct", "mm"),
                    .real_cred = offsets.offset("task_struct", "real_cred"),
                    .cred_uid = offsets.offset("cred", "uid", kInt),
                    .mm_pgd = offsets.offset("mm_struct", "pgd"),
                    .mm_exe_file = offsets.offset("mm_struct", "exe_file"),
                    .mm_arg_start = offsets.offset("mm_struct", "arg_start"),
                    .mm_arg_end = offsets.offset("mm_struct", "arg_end"),
                    .file_mount = offsets.offset("file", "f_path.mnt"),
                    .file_dentry = offsets.offset("file", "f_path.dentry")};
  if (auto checked = offsets.check(); !checked) {
    return tl::unexpected{checked.error()};
  }
  return layout;
}

} // namespace vmemfs
