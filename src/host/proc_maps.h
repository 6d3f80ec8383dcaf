// SPDX-License-Identifier: MIT
// Memory mappings of a process: /proc/PID/maps (format: proc_pid_maps(5)).
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// One line: a virtual memory area.
struct Vma {
  HvaRange range;
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;            ///< writes go to the file; else private (copy on write)
  std::uint64_t file_offset = 0;  ///< where range.begin lies in the file, in bytes
  std::uint32_t device_major = 0; ///< of the file's device; with the inode 0 there is no file
  std::uint32_t device_minor = 0;
  std::uint64_t inode = 0;
  std::string path; ///< as the kernel prints it: newline as \012, " (deleted)" at the end, "[heap]", or empty

  [[nodiscard]] bool has_file() const { return inode != 0; }

  friend bool operator==(const Vma&, const Vma&) = default;
};

/// Sorted by address, without overlap; anything malformed is an error (invalid).
[[nodiscard]] Result<std::vector<Vma>> parse_maps(std::string_view text);

/// The mappings of the program: reads and parses /proc/PID/maps. vm_gone: the process runs another one.
/// permission: the error text names the remedy.
[[nodiscard]] Result<std::vector<Vma>> read_maps(const ProcessSpace& space);

/// Those of this process.
[[nodiscard]] Result<std::vector<Vma>> read_own_maps();

/// The area that holds `hva`, or nullptr. `maps` must be sorted.
[[nodiscard]] const Vma* find_vma(const std::vector<Vma>& maps, Hva hva);

} // namespace vmemfs
