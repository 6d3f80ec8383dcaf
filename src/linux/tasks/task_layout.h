// SPDX-License-Identifier: MIT
// Members of a kernel's structures that describe its processes, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"

#include <cstdint>

namespace vmemfs {

/// Offsets in bytes. Known of Linux 5.10 to 7.2.
struct TaskLayout {
  static constexpr std::uint64_t kCommBytes = 16;

  std::uint64_t size; ///< of task_struct
  std::uint64_t next; ///< tasks.next and tasks.prev
  std::uint64_t prev;
  std::uint64_t state; ///< of the 32 bits that count
  std::uint64_t exit_state;
  std::uint64_t flags;
  std::uint64_t pid;
  std::uint64_t tgid;
  std::uint64_t comm;
  std::uint64_t real_parent;
  std::uint64_t group_leader;
  std::uint64_t mm;
  std::uint64_t real_cred;
  std::uint64_t cred_uid;
  std::uint64_t mm_pgd;
  std::uint64_t mm_exe_file;
  std::uint64_t mm_arg_start;
  std::uint64_t mm_arg_end;
  std::uint64_t file_mount;
  std::uint64_t file_dentry;
};

/// no_data: the kernel's types lack something.
[[nodiscard]] Result<TaskLayout> task_layout(const btf::Types& types);

} // namespace vmemfs
