// SPDX-License-Identifier: MIT
#include "linux/tasks/process_list.h"

#include "core/text.h"
#include "linux/files/path_reader.h"
#include "linux/tasks/task_layout.h"
#include "linux/tasks/task_list.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <fmt/format.h>
#include <span>
#include <string_view>

namespace vmemfs {
namespace {

constexpr std::string_view kNone = "-";
constexpr std::string_view kUnreadable = "?";
/// Max bytes of a command line that are shown.
constexpr std::size_t kMaxArguments = 4096;

/// As the kernel does for /proc.
char state_letter(const Task& task) {
  constexpr std::uint32_t kIdle = 0x402; // uninterruptible, and does not count as load
  constexpr std::uint32_t kReported = 0x7f;
  constexpr std::string_view kLetters = "RSDTtXZP";
  if (task.state == kIdle) {
    return 'I';
  }
  return kLetters[static_cast<std::size_t>(std::bit_width((task.state | task.exit_state) & kReported))];
}

class RowMaker {
public:
  RowMaker(KernelMemory& memory, const TaskLayout& layout, const PathReader& paths)
      : memory_{memory}, layout_{layout}, paths_{paths} {}

  [[nodiscard]] std::string row(const Task& task) const {
    return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", task.pid, number(task.real_parent + layout_.tgid),
                       number(task.real_cred + layout_.cred_uid), state_letter(task), printable(task.name()),
                       program(task), arguments(task));
  }

private:
  [[nodiscard]] std::string number(std::uint64_t address) const {
    const auto value = memory_.value<std::uint32_t>(address);
    return value ? std::to_string(*value) : std::string{kUnreadable};
  }

  /// Kernel threads may borrow the memory of a process.
  static bool has_program(const Task& task) { return task.mm != 0 && !task.is_kernel_thread(); }

  [[nodiscard]] std::string program(const Task& task) const {
    if (!has_program(task)) {
      return std::string{kNone};
    }
    const auto file = memory_.value<std::uint64_t>(task.mm + layout_.mm_exe_file);
    if (file == std::uint64_t{0}) {
      return std::string{kNone};
    }
    const auto mount = file ? memory_.value<std::uint64_t>(*file + layout_.file_mount) : std::nullopt;
    const auto dentry = file ? memory_.value<std::uint64_t>(*file + layout_.file_dentry) : std::nullopt;
    const auto path = mount && dentry ? paths_.path({*mount, *dentry}) : std::nullopt;
    return path ? printable(*path, PathReader::kMaxBytes) : std::string{kUnreadable};
  }

  /// With a space between arguments, as ps does.
  [[nodiscard]] std::string arguments(const Task& task) const {
    if (!has_program(task)) {
      return std::string{kNone};
    }
    const auto top = memory_.value<std::uint64_t>(task.mm + layout_.mm_pgd);
    const auto begin = memory_.value<std::uint64_t>(task.mm + layout_.mm_arg_start);
    const auto end = memory_.value<std::uint64_t>(task.mm + layout_.mm_arg_end);
    if (!top || !begin || !end || *end < *begin) {
      return std::string{kUnreadable};
    }
    // One more than is shown, so that it is seen that there are more.
    std::string text(std::min<std::uint64_t>(*end - *begin, kMaxArguments + 1), '\0');
    const std::size_t size =
        text.empty() ? 0 : memory_.read_user(*top, *begin, std::as_writable_bytes(std::span{text}));
    const bool whole = size == text.size();
    text.resize(size);
    text.resize(text.find_last_not_of('\0') + 1);
    std::ranges::replace(text, '\0', ' ');
    text = printable(text, kMaxArguments);
    if (!whole) {
      text += kUnreadable;
    }
    return text.empty() ? std::string{kNone} : text;
  }

  KernelMemory& memory_;
  const TaskLayout& layout_;
  const PathReader& paths_;
};

} // namespace

Result<std::string> process_list(const RunningKernel& kernel) {
  const auto layout = task_layout(kernel.types);
  const auto paths = PathReader::create(kernel.memory, kernel.types);
  const auto init_task = kernel.idle_task();
  if (!layout || !paths) {
    return tl::unexpected{layout ? paths.error() : layout.error()};
  }
  if (!init_task) {
    return tl::unexpected{init_task.error()};
  }
  const RowMaker maker{kernel.memory, *layout, *paths};
  const auto found = TaskList{kernel.memory, *layout, *init_task}.read(
      [&maker](const Task& task) { return maker.row(task); });
  if (!found) {
    return tl::unexpected{found.error()};
  }
  std::string text = "PID\tPPID\tUID\tSTATE\tNAME\tPROGRAM\tCOMMAND\n";
  for (const std::string& row : found->rows) {
    text += row;
  }
  text += found->incomplete.empty()
              ? fmt::format("# complete: {} processes\n", found->rows.size())
              : fmt::format("# incomplete: {} processes; {}\n", found->rows.size(), found->incomplete);
  return text;
}

} // namespace vmemfs
