// SPDX-License-Identifier: MIT
#include "linux/tasks/task_ring.h"

#include "linux/structures/structure_copy.h"
#include "linux/tasks/task_list.h"
#include "util/work_limit.h"

#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <unordered_set>

namespace vmemfs {
namespace {

class Ring {
public:
  Ring(KernelMemory& memory, const TaskLayout& layout, std::uint64_t init_task)
      : memory_{memory}, layout_{layout}, init_task_{init_task} {}

  [[nodiscard]] bool begins_with_idle_task() const {
    const auto init = task_at(init_task_);
    return init && init->text(layout_.comm, TaskLayout::kCommBytes).value_or("").starts_with("swapper");
  }

  /// `onward`, `back`: offsets of the two pointers of an element. Number of elements on the way, if it
  /// closes.
  [[nodiscard]] bool closes(std::uint64_t onward, std::uint64_t back) const {
    std::unordered_set<std::uint64_t> seen;
    std::uint64_t torn = 0;
    std::uint64_t before = init_task_;
    while (!WorkLimit::over()) {
      const auto from = task_at(before);
      if (!from || seen.size() > TaskList::kMaxTasks) {
        return false;
      }
      const std::uint64_t address = from->pointer(onward) - layout_.next;
      const auto pointed = memory_.value<std::uint64_t>(address + back);
      torn += pointed == before + layout_.next ? 0 : 1;
      if (address == init_task_) {
        return !seen.empty() && torn * kMaxTornShare <= seen.size();
      }
      if (!seen.insert(address).second) {
        return false;
      }
      before = address;
    }
    return false;
  }

private:
  /// nullopt: there is no process. The first thread of a process stands for it.
  [[nodiscard]] std::optional<StructureCopy> task_at(std::uint64_t address) const {
    auto task = StructureCopy::read(memory_, address, layout_.size);
    if (!task || task->pointer(layout_.group_leader) != address ||
        !task->text(layout_.comm, TaskLayout::kCommBytes)) {
      return std::nullopt;
    }
    const auto pid = task->number<std::uint32_t>(layout_.pid);
    const bool has_pid = (pid == 0) == (address == init_task_) && pid <= TaskList::kMaxPid;
    return has_pid && task->number<std::uint32_t>(layout_.tgid) == pid ? std::move(task) : std::nullopt;
  }

  KernelMemory& memory_;
  const TaskLayout& layout_;
  const std::uint64_t init_task_;
};

} // namespace

Result<void> check_task_ring(KernelMemory& memory, const TaskLayout& layout, std::uint64_t init_task) {
  const Ring ring{memory, layout, init_task};
  if (!ring.begins_with_idle_task()) {
    return fail(ErrorKind::no_data, "linux", fmt::format("there is no idle task at {:#x}", init_task));
  }
  if (ring.closes(layout.next, layout.prev) || ring.closes(layout.prev, layout.next)) {
    return {};
  }
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("linux");
  }
  return fail(
      ErrorKind::no_data, "linux",
      "the kernel's list of processes is broken, as of a former boot, or changed too much while memory "
      "was copied");
}

} // namespace vmemfs
