// SPDX-License-Identifier: MIT
#include "one_cpu.h"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <string>
#include <system_error>

namespace vmemfs::bench {
namespace {

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> threads;
  std::error_code ended;
  for (const auto& entry :
       std::filesystem::directory_iterator{fmt::format("/proc/{}/task", process), ended}) {
    threads.push_back(std::stoi(entry.path().filename().string()));
  }
  return threads;
}

cpu_set_t first_of(const cpu_set_t& cpus) {
  cpu_set_t first;
  CPU_ZERO(&first);
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &cpus)) {
      CPU_SET(cpu, &first);
      break;
    }
  }
  return first;
}

} // namespace

OneCpu::OneCpu(const std::vector<pid_t>& servers) : servers_{servers} {
  if (::sched_getaffinity(0, sizeof before_, &before_) != 0) {
    throw std::system_error{errno, std::generic_category(), "sched_getaffinity"};
  }
  const cpu_set_t first = first_of(before_);
  if (::sched_setaffinity(0, sizeof first, &first) != 0) {
    throw std::system_error{errno, std::generic_category(), "sched_setaffinity"};
  }
  move_all(first);
}

OneCpu::~OneCpu() { move_all(before_); }

/// A thread or server that has ended meanwhile is none to be moved.
void OneCpu::move_all(const cpu_set_t& cpus) const {
  static_cast<void>(::sched_setaffinity(0, sizeof cpus, &cpus));
  for (const pid_t server : servers_) {
    for (const pid_t thread : threads_of(server)) {
      static_cast<void>(::sched_setaffinity(thread, sizeof cpus, &cpus));
    }
  }
}

} // namespace vmemfs::bench
