// SPDX-License-Identifier: MIT
#include "vmm/thread_watch.h"

#include "core/text.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <utility>

namespace vmemfs {
namespace {

/// More are not listed, as the process is not trusted: the kernel lists them in the order of their begin, and
/// vCPUs begin early. The watcher of all VMs waits for this.
constexpr std::size_t kMaxThreads = 1024;

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  std::error_code error;
  std::filesystem::directory_iterator entry{fmt::format("/proc/{}/task", pid), error};
  for (; !error && entry != std::filesystem::directory_iterator{} && threads.size() < kMaxThreads;
       entry.increment(error)) {
    if (const auto thread = parse_u64(entry->path().filename().string())) {
      threads.push_back(static_cast<pid_t>(*thread));
    }
  }
  std::ranges::sort(threads);
  return threads;
}

} // namespace

ThreadWatch::ThreadWatch(pid_t pid) : pid_{pid}, threads_{threads_of(pid)} {}

bool ThreadWatch::changed() {
  auto now = threads_of(pid_);
  return std::exchange(threads_, now) != now;
}

} // namespace vmemfs
