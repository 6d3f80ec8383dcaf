// SPDX-License-Identifier: MIT
// The list of all processes of a kernel, which may change while it is read.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/tasks/task_layout.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace vmemfs {

/// What was read of a process at one instant, as far as the guest does not write into the middle of it.
struct Task {
  std::uint64_t address;
  std::uint64_t next; ///< addresses of the task_structs before and behind it
  std::uint64_t previous;
  std::uint32_t pid;
  std::uint32_t state;
  std::uint32_t exit_state;
  std::uint32_t flags;
  std::uint64_t mm; ///< 0: it has no memory of its own
  std::uint64_t real_parent;
  std::uint64_t real_cred;
  std::array<char, TaskLayout::kCommBytes> comm; ///< ends with a zero byte

  [[nodiscard]] std::string_view name() const { return comm.data(); }
  [[nodiscard]] bool is_kernel_thread() const { return (flags & kKernelThread) != 0; }

private:
  static constexpr std::uint32_t kKernelThread = 0x0020'0000; // PF_KTHREAD
};

/// Reads the list without pausing the guest: a step counts only if both elements point to each other, and a
/// row only if its process is still the same and in the list after the row was made. If the list changed, the
/// walk goes back to the last element that is still in it. So every process that exists all the time is
/// found. Threads other than the first of a process are not in this list. Not thread-safe.
class TaskList {
public:
  static constexpr std::size_t kMaxTasks = 65'536;
  static constexpr std::uint32_t kMaxPid = 4'194'304;              ///< PID_MAX_LIMIT of the kernel
  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20U; ///< of all rows
  /// Max number of times that a walk goes back without a new process in between.
  static constexpr unsigned kMaxRetries = 16;
  /// Max number of times that it goes back at all.
  static constexpr unsigned kMaxChanges = 4'096;

  /// What a row says of a process.
  using MakeRow = std::function<std::string(const Task&)>;

  struct Rows {
    std::vector<std::string> rows;
    std::string incomplete; ///< the reason; empty: all processes are there
  };

  /// `init_task`: address of the idle task, where the list begins; it is not one of the rows. `layout`
  /// outlives this object.
  TaskList(KernelMemory& memory, const TaskLayout& layout, std::uint64_t init_task)
      : memory_{memory}, layout_{layout}, init_task_{init_task} {}

  /// timed_out: the limit of the calling thread's work is reached (WorkLimit).
  [[nodiscard]] Result<Rows> read(const MakeRow& make_row);

private:
  enum class Step : unsigned char { done, added, changed };
  /// A process after its row was made; no row if there is one already.
  struct Listed {
    Task task;
    std::optional<std::string> row;
  };

  [[nodiscard]] std::optional<Task> task_at(std::uint64_t address) const;
  /// Whether the element before it points to it.
  [[nodiscard]] bool is_linked(const Task& task) const;
  [[nodiscard]] std::optional<Listed> listed(const Task& task, const MakeRow& make_row) const;
  [[nodiscard]] Step step(Rows& found, const MakeRow& make_row);
  /// To the last process on the way that is still in the list. Whether init_task can be read.
  [[nodiscard]] bool go_back();

  KernelMemory& memory_;
  const TaskLayout& layout_;
  const std::uint64_t init_task_;
  std::vector<Task> way_; ///< from init_task to where the walk is
  std::unordered_set<std::uint64_t> on_way_;
  std::unordered_set<std::uint32_t> pids_; ///< of the rows
  std::size_t bytes_ = 0;                  ///< of the rows
};

} // namespace vmemfs
