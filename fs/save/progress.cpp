// SPDX-License-Identifier: MIT
#include "fs/save/progress.h"

#include "fs/save/size_text.h"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::chrono::milliseconds kOnTerminal{200};
constexpr std::chrono::seconds kElsewhere{5};

std::string rate_text(std::uint64_t bytes, std::chrono::milliseconds elapsed) {
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(elapsed.count(), 1));
  return size_text(bytes / ms * 1000 + bytes % ms * 1000 / ms) + "/s";
}

} // namespace

void write_unless_it_waits(int fd, std::string_view text) {
  pollfd target{fd, POLLOUT, 0};
  if (::poll(&target, 1, 0) == 1 && (target.revents & POLLOUT) != 0) {
    // Nothing can be done about a failure.
    static_cast<void>(::write(fd, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF)) == 0);
  }
}

std::string progress_text(const ProgressFigures& figures) {
  if (figures.size == 0) {
    return "preparing";
  }
  const double part = static_cast<double>(figures.done) / static_cast<double>(figures.size);
  std::string text =
      fmt::format("{:.0f}%  {} of {}, {} read, {}", std::min(part, 1.0) * 100, size_text(figures.done),
                  size_text(figures.size), size_text(figures.data), rate_text(figures.done, figures.elapsed));
  if (figures.done > 0 && figures.done < figures.size) {
    const double left = static_cast<double>(figures.elapsed.count()) * (1 - part) / part;
    constexpr double kMaxMs = 1e12;
    text += fmt::format(
        ", {} left", time_text(std::chrono::milliseconds{static_cast<std::int64_t>(std::min(left, kMaxMs))}));
  }
  return text;
}

Progress::Progress(int fd, bool quiet)
    : fd_{fd}, quiet_{quiet}, terminal_{::isatty(fd) == 1},
      next_{Clock::now() +
            (terminal_ ? std::chrono::milliseconds{0} : std::chrono::milliseconds{kElsewhere})} {}

void Progress::print(const std::string& text) const { write_unless_it_waits(fd_, text); }

void Progress::show(const ProgressFigures& figures) {
  if (quiet_ || Clock::now() < next_) {
    return;
  }
  next_ = Clock::now() + (terminal_ ? kOnTerminal : std::chrono::milliseconds{kElsewhere});
  const std::string text = progress_text(figures);
  print(terminal_ ? fmt::format("\r\033[K{}", text) : fmt::format("vmemfs: {}\n", text));
  shown_ = true;
}

void Progress::clear() {
  if (terminal_ && shown_) {
    print("\r\033[K");
    shown_ = false;
  }
}

} // namespace vmemfs
