// SPDX-License-Identifier: MIT
#include "one_cpu.h"

#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <string>
#include <system_error>
#include <unistd.h>

namespace vmemfs::bench {
namespace {

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> threads;
  for (const auto& entry : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", process)}) {
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

OneCpu::OneCpu(const std::vector<pid_t>& servers) {
  std::vector<pid_t> threads{::gettid()};
  for (const pid_t server : servers) {
    const auto more = threads_of(server);
    threads.insert(threads.end(), more.begin(), more.end());
  }
  cpu_set_t own;
  if (::sched_getaffinity(0, sizeof own, &own) != 0) {
    throw std::system_error{errno, std::generic_category(), "sched_getaffinity"};
  }
  const cpu_set_t first = first_of(own);
  for (const pid_t thread : threads) { // one that has ended meanwhile has none
    cpu_set_t before;
    if (::sched_getaffinity(thread, sizeof before, &before) == 0 &&
        ::sched_setaffinity(thread, sizeof first, &first) == 0) {
      before_.emplace_back(thread, before);
    }
  }
}

OneCpu::~OneCpu() {
  for (const auto& [thread, before] : before_) {
    static_cast<void>(::sched_setaffinity(thread, sizeof before, &before));
  }
}

} // namespace vmemfs::bench
