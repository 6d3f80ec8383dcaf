// SPDX-License-Identifier: MIT
// Request of `vmemfs save`, as the command line makes it.
#pragma once

#include <chrono>
#include <string>

namespace vmemfs {

enum class SaveFormat : unsigned char { raw, lime, elf, avml, kdump };

inline constexpr unsigned kMaxSaveThreads = 64;
inline constexpr std::chrono::hours kMaxMaxPause{24}; ///< a longer pause is a mistake

struct SaveOptions {
  std::string vm;   ///< directory of a VM in a mount, or a VM's name
  std::string file; ///< "-": standard output
  SaveFormat format = SaveFormat::elf;
  bool pause = false;
  std::chrono::milliseconds max_pause = std::chrono::minutes{10};
  bool overwrite = false;
  bool quiet = false;
  std::string sidecar{}; ///< empty: FILE.json, and none for standard output
  unsigned threads = 0;  ///< that read; 0: one per CPU, 4 at most

  [[nodiscard]] bool to_stdout() const { return file == "-"; }
};

} // namespace vmemfs
