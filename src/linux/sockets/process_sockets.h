// SPDX-License-Identifier: MIT
// The sockets among the open files of a process.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/sockets/socket_layout.h"
#include "linux/sockets/socket_reader.h"
#include "linux/tasks/task_list.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace vmemfs {

/// Not thread-safe.
class ProcessSockets {
public:
  /// Max number of descriptors of a process that are searched.
  static constexpr std::uint32_t kMaxDescriptors = 1U << 18U;
  /// Of all processes together. The kernel has space for 64 and more in each.
  static constexpr std::uint64_t kMaxAllDescriptors = std::uint64_t{1} << 23U;

  struct Rows {
    std::string text;    ///< a line for each descriptor of a socket
    std::string problem; ///< why some may be missing; empty: all are there
  };

  /// `layout` and `sockets` outlive this object.
  ProcessSockets(KernelMemory& memory, const SocketLayout& layout, const SocketReader& sockets)
      : memory_{memory}, layout_{layout}, sockets_{sockets} {}

  /// Ends early at the limit of the calling thread's work (WorkLimit).
  [[nodiscard]] Rows rows(const Task& task);

private:
  struct Table {
    std::uint64_t files; ///< the files_struct; 0: the process has no files any more
    std::uint64_t table;
    std::uint64_t array;
    std::uint32_t count;

    bool operator==(const Table&) const = default;
  };

  [[nodiscard]] std::optional<Table> table_of(const Task& task) const;
  [[nodiscard]] Rows read(const Task& task, const Table& table);
  /// `slot`: where the descriptor's file is, which was `file`. Whether it is known what it is now.
  [[nodiscard]] bool add(Rows& rows, const Task& task, std::uint64_t slot, std::uint64_t file,
                         std::uint32_t descriptor) const;

  KernelMemory& memory_;
  const SocketLayout& layout_;
  const SocketReader& sockets_;
  std::uint64_t searched_ = 0; ///< descriptors
};

} // namespace vmemfs
