// SPDX-License-Identifier: MIT
// Progress of a copy on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs {

struct ProgressFigures {
  std::uint64_t size; ///< of the image; 0: not known yet
  std::uint64_t done; ///< bytes of it that are finished, holes included
  std::uint64_t data; ///< bytes that were read
  std::chrono::milliseconds elapsed;
};

/// Writes nothing if that would wait, as for a full pipe or a terminal that was stopped with Ctrl-S. Only one
/// thread may write to `fd`.
void write_unless_it_waits(int fd, std::string_view text);

/// One line without a newline, such as "42%  1.2 GiB of 2.9 GiB, 812.0 MiB read, 400.1 MiB/s, 4.1 s left".
[[nodiscard]] std::string progress_text(const ProgressFigures& figures);

/// On a terminal, one line that is written again; otherwise a line every five seconds. Never waits.
/// Not thread-safe.
class Progress {
public:
  using Clock = std::chrono::steady_clock;

  /// Writes to `fd`; nothing if `quiet`.
  Progress(int fd, bool quiet);

  /// To be called a few times a second.
  void show(const ProgressFigures& figures);
  /// Leaves an empty line for what follows.
  void clear();

private:
  void print(const std::string& text) const;

  int fd_;
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point next_;
};

} // namespace vmemfs
