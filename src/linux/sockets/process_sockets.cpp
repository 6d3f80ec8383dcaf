// SPDX-License-Identifier: MIT
#include "linux/sockets/process_sockets.h"

#include "core/text.h"
#include "linux/sockets/socket_text.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <span>

namespace vmemfs {
namespace {

constexpr unsigned kAttempts = 3;

std::string row(const OpenSocket& socket, const Task& task, std::uint32_t descriptor) {
  return fmt::format("{}\t{}\t{}\t{}\t{}\n", socket_text(socket), socket.inode, task.pid, descriptor,
                     printable(task.name()));
}

} // namespace

std::optional<ProcessSockets::Table> ProcessSockets::table_of(const Task& task) const {
  const auto files = memory_.value<std::uint64_t>(task.address + layout_.task_files);
  if (!files || *files == 0) {
    return files ? std::optional{Table{}} : std::nullopt;
  }
  const auto table = memory_.value<std::uint64_t>(*files + layout_.files_table);
  const auto array = table ? memory_.value<std::uint64_t>(*table + layout_.table_files) : std::nullopt;
  const auto count = table ? memory_.value<std::uint32_t>(*table + layout_.table_count) : std::nullopt;
  return array && count
             ? std::optional{Table{.files = *files, .table = *table, .array = *array, .count = *count}}
             : std::nullopt;
}

bool ProcessSockets::add(Rows& rows, const Task& task, std::uint64_t slot, std::uint64_t file,
                         std::uint32_t descriptor) const {
  for (unsigned attempt = 0; attempt < kAttempts && file != 0; ++attempt) {
    const auto is_socket = sockets_.is_socket(file);
    if (is_socket == false) {
      return true;
    }
    const auto socket = is_socket ? sockets_.read(file) : std::nullopt;
    const bool is_same = socket && sockets_.read(file) == socket;
    const auto now = memory_.value<std::uint64_t>(slot);
    if (!now) {
      return false;
    }
    if (is_same && *now == file) {
      rows.text += row(*socket, task, descriptor);
      return true;
    }
    file = *now;
  }
  return file == 0;
}

ProcessSockets::Rows ProcessSockets::read(const Task& task, const Table& table) {
  Rows rows;
  const std::uint32_t count = std::min(table.count, kMaxDescriptors);
  if (count < table.count) {
    rows.problem = fmt::format("process {} has space for more than {} files", task.pid, kMaxDescriptors);
  }
  constexpr std::uint32_t kPart = 64; // the least that a process has
  std::array<std::uint64_t, kPart> files{};
  for (std::uint32_t first = 0; first < count; first += kPart) {
    searched_ += kPart;
    if (WorkLimit::over() || searched_ > kMaxAllDescriptors || rows.text.size() > TaskList::kMaxBytes) {
      rows.problem = "there are too many files";
      return rows;
    }
    const std::uint64_t slots = table.array + sizeof(std::uint64_t) * first;
    const auto part = std::span{files}.first(std::min(kPart, count - first));
    if (memory_.read(slots, std::as_writable_bytes(part)) != part.size_bytes()) {
      rows.problem = fmt::format("the files of process {} cannot be read", task.pid);
      return rows;
    }
    for (std::uint32_t i = 0; i < part.size() && !WorkLimit::over(); ++i) {
      if (!add(rows, task, slots + sizeof(std::uint64_t) * i, part[i], first + i)) {
        rows.problem = fmt::format("file {} of process {} changed while it was read, or is damaged",
                                   first + i, task.pid);
      }
    }
  }
  return rows;
}

ProcessSockets::Rows ProcessSockets::rows(const Task& task) {
  if (task.is_kernel_thread()) { // may share files of init_task, which has none
    return {};
  }
  for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
    const auto table = table_of(task);
    if (table && table->files == 0) {
      return {};
    }
    Rows found = table ? read(task, *table) : Rows{};
    if (table && table_of(task) == table) {
      return found;
    }
  }
  return {.text = {},
          .problem =
              fmt::format("the files of process {} changed while they were read, or are damaged", task.pid)};
}

} // namespace vmemfs
