// SPDX-License-Identifier: MIT
#include "linux/tasks/task_list.h"

#include "linux/structures/structure_copy.h"
#include "util/work_limit.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// Whether both are of one process that has not begun another program in between.
bool is_same(const Task& left, const Task& right) {
  return left.pid == right.pid && left.mm == right.mm && left.comm == right.comm &&
         left.real_cred == right.real_cred && left.real_parent == right.real_parent;
}

} // namespace

std::optional<Task> TaskList::task_at(std::uint64_t address) const {
  const auto copy = StructureCopy::read(memory_, address, layout_.size);
  const auto comm = copy ? copy->text(layout_.comm, TaskLayout::kCommBytes) : std::nullopt;
  if (!comm || copy->pointer(layout_.group_leader) != address) {
    return std::nullopt;
  }
  Task task{.address = address,
            .next = copy->pointer(layout_.next) - layout_.next,
            .previous = copy->pointer(layout_.prev) - layout_.next,
            .pid = copy->number<std::uint32_t>(layout_.pid),
            .state = copy->number<std::uint32_t>(layout_.state),
            .exit_state = copy->number<std::uint32_t>(layout_.exit_state),
            .flags = copy->number<std::uint32_t>(layout_.flags),
            .mm = copy->pointer(layout_.mm),
            .real_parent = copy->pointer(layout_.real_parent),
            .real_cred = copy->pointer(layout_.real_cred),
            .comm = {}};
  std::ranges::copy(*comm, task.comm.begin());
  const bool has_pid = (task.pid == 0) == (address == init_task_) && task.pid <= kMaxPid;
  return has_pid && copy->number<std::uint32_t>(layout_.tgid) == task.pid ? std::optional{task}
                                                                          : std::nullopt;
}

bool TaskList::is_linked(const Task& task) const {
  const auto next = memory_.value<std::uint64_t>(task.previous + layout_.next);
  return next == task.address + layout_.next;
}

std::optional<TaskList::Listed> TaskList::listed(const Task& task, const MakeRow& make_row) const {
  if (pids_.contains(task.pid)) {
    return Listed{task, std::nullopt};
  }
  Task before = task;
  for (unsigned attempt = 0; attempt < kMaxRetries; ++attempt) {
    std::string row = make_row(before);
    const auto after = task_at(task.address);
    if (!after || after->pid != task.pid || !is_linked(*after)) {
      return std::nullopt;
    }
    if (is_same(before, *after)) {
      return Listed{*after, std::move(row)};
    }
    before = *after;
  }
  return std::nullopt;
}

TaskList::Step TaskList::step(Rows& found, const MakeRow& make_row) {
  const std::uint64_t address = way_.back().next;
  if (address == init_task_) {
    const auto init = task_at(init_task_);
    return init && init->previous == way_.back().address ? Step::done : Step::changed;
  }
  const auto task = on_way_.contains(address) ? std::nullopt : task_at(address);
  if (!task || task->previous != way_.back().address) {
    return Step::changed;
  }
  auto added = listed(*task, make_row);
  if (!added) {
    return Step::changed;
  }
  way_.push_back(added->task);
  on_way_.insert(address);
  if (added->row) {
    pids_.insert(task->pid);
    bytes_ += added->row->size();
    found.rows.push_back(std::move(*added->row));
  }
  return Step::added;
}

bool TaskList::go_back() {
  while (!way_.empty()) {
    const Task& last = way_.back();
    const auto now = task_at(last.address);
    if (now && now->pid == last.pid && (way_.size() == 1 || is_linked(*now))) {
      way_.back() = *now;
      return true;
    }
    on_way_.erase(last.address);
    way_.pop_back();
  }
  return false;
}

Result<TaskList::Rows> TaskList::read(const MakeRow& make_row) {
  Rows found;
  const auto init = task_at(init_task_);
  if (!init) {
    return fail(ErrorKind::no_data, "linux", fmt::format("there is no idle task at {:#x}", init_task_));
  }
  way_.assign(1, *init);
  on_way_.clear();
  pids_.clear();
  bytes_ = 0;
  unsigned retries = 0;
  unsigned changes = 0;
  while (true) {
    if (WorkLimit::over()) {
      return WorkLimit::exceeded("linux");
    }
    const Step taken = step(found, make_row);
    if (taken == Step::done) {
      return found;
    }
    retries = taken == Step::added ? 0 : retries + 1;
    changes += taken == Step::added ? 0 : 1;
    if (retries > kMaxRetries || changes > kMaxChanges || !go_back()) {
      found.incomplete = "the list changed while it was read, or is damaged";
      return found;
    }
    if (way_.size() > kMaxTasks || bytes_ > kMaxBytes) {
      found.incomplete = "the list is too long";
      return found;
    }
  }
}

} // namespace vmemfs
