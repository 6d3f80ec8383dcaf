// SPDX-License-Identifier: MIT
#include "linux/sockets/socket_list.h"

#include "linux/sockets/process_sockets.h"
#include "linux/sockets/socket_layout.h"
#include "linux/sockets/socket_reader.h"
#include "linux/tasks/task_layout.h"
#include "linux/tasks/task_list.h"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>

namespace vmemfs {
namespace {

/// Begins the first line of a process's rows if it is a problem; no row begins with it.
constexpr char kProblem = '!';

std::string marked(const ProcessSockets::Rows& rows) {
  return rows.problem.empty() ? rows.text : fmt::format("{}{}\n{}", kProblem, rows.problem, rows.text);
}

std::string whole_text(const TaskList::Rows& found) {
  std::string problem = found.incomplete;
  std::string rows;
  for (std::string_view text : found.rows) {
    if (text.starts_with(kProblem)) {
      const std::size_t end = text.find('\n');
      if (problem.empty()) {
        problem = text.substr(1, end - 1);
      }
      text.remove_prefix(end + 1);
    }
    rows += text;
  }
  const auto count = std::ranges::count(rows, '\n');
  return "PROTOCOL\tSTATE\tLOCAL\tPEER\tINODE\tPID\tFD\tNAME\n" + rows +
         (problem.empty() ? fmt::format("# complete: {} descriptors of sockets\n", count)
                          : fmt::format("# incomplete: {} descriptors of sockets; {}\n", count, problem));
}

} // namespace

Result<std::string> socket_list(const RunningKernel& kernel) {
  const auto tasks = task_layout(kernel.types);
  const auto layout = socket_layout(kernel.types);
  const auto init_task = kernel.idle_task();
  const auto operations = kernel.symbols.find("socket_file_ops");
  if (!tasks || !layout) {
    return tl::unexpected{tasks ? layout.error() : tasks.error()};
  }
  if (!init_task) {
    return tl::unexpected{init_task.error()};
  }
  if (!operations && !layout->filesystem) {
    return fail(ErrorKind::no_data, "linux",
                "the kernel's symbols do not have socket_file_ops, nor its types that of filesystems");
  }
  const SocketReader sockets{kernel.memory, *layout, operations};
  ProcessSockets processes{kernel.memory, *layout, sockets};
  return TaskList{kernel.memory, *tasks, *init_task}
      .read([&](const Task& task) { return marked(processes.rows(task)); })
      .map(whole_text);
}

} // namespace vmemfs
