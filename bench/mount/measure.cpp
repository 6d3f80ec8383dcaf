// SPDX-License-Identifier: MIT
#include "measure.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <random>
#include <thread>

namespace vmemfs::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double cpu_seconds(const std::vector<pid_t>& servers) {
  double sum = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  for (const pid_t pid : servers) {
    clockid_t clock{};
    if (::clock_getcpuclockid(pid, &clock) == 0) {
      sum += seconds_of(clock);
    }
  }
  return sum;
}

struct ReaderResult {
  std::exception_ptr failure;
  std::uint64_t reads = 0;
  std::vector<double> latencies_us;
};

/// Reads until stopped. The buffer is reused and page-aligned, like that of a good client.
ReaderResult read_until(const std::atomic<bool>& stop, Target& target, const Pattern& pattern,
                        const Area& area, unsigned seed) {
  constexpr std::size_t kAlignment = 4096;
  const std::unique_ptr<std::byte, decltype(&std::free)> buffer{
      static_cast<std::byte*>(std::aligned_alloc(kAlignment, std::max(pattern.size, kAlignment))),
      &std::free};
  const std::uint64_t slots = (area.end - area.begin) / pattern.size;
  std::mt19937_64 random{seed};
  ReaderResult result;
  std::uint64_t slot = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    slot = pattern.random ? random() % slots : (slot + 1) % slots;
    const auto begin = pattern.latency ? Clock::now() : Clock::time_point{};
    target.read(area.begin + slot * pattern.size, buffer.get(), pattern.size);
    if (pattern.latency) {
      result.latencies_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    ++result.reads;
  }
  return result;
}

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) {
    return 0;
  }
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

} // namespace

const std::vector<Pattern>& patterns() {
  static const std::vector<Pattern> kPatterns{
      {"seq 4K", 4096, false, 1, false},    {"seq 128K", 128 << 10, false, 1, false},
      {"seq 1M", 1 << 20, false, 1, false}, {"rand 4K x1", 4096, true, 1, false},
      {"rand 4K x2", 4096, true, 2, false}, {"8 bytes", 8, true, 1, true},
  };
  return kPatterns;
}

Sample measure(const MakeTarget& make, const Pattern& pattern, const Area& area,
               std::chrono::milliseconds length) {
  std::vector<std::unique_ptr<Target>> targets;
  for (unsigned i = 0; i < pattern.readers; ++i) {
    targets.push_back(make());
  }
  std::atomic<bool> stop{false};
  std::vector<ReaderResult> results(pattern.readers);
  const double cpu_before = cpu_seconds(area.servers);
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> readers;
    for (unsigned i = 0; i < pattern.readers; ++i) {
      readers.emplace_back([&, i] {
        try {
          results[i] = read_until(stop, *targets[i], pattern, area, i + 1);
        } catch (...) {
          results[i].failure = std::current_exception();
        }
      });
    }
    std::this_thread::sleep_for(length);
    stop = true;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double cpu = cpu_seconds(area.servers) - cpu_before;

  Sample sample;
  std::uint64_t reads = 0;
  std::vector<double> latencies;
  for (const ReaderResult& result : results) {
    if (result.failure) {
      std::rethrow_exception(result.failure);
    }
    reads += result.reads;
    latencies.insert(latencies.end(), result.latencies_us.begin(), result.latencies_us.end());
  }
  const double bytes = static_cast<double>(reads) * static_cast<double>(pattern.size);
  sample.reads_per_second = static_cast<double>(reads) / seconds;
  sample.bytes_per_second = bytes / seconds;
  sample.cpu_seconds_per_gb = bytes > 0 ? cpu / bytes * 1e9 : 0;
  sample.mean_us = reads > 0 ? 1e6 * seconds * pattern.readers / static_cast<double>(reads) : 0;
  sample.p50_us = quantile(latencies, 0.5);
  sample.p99_us = quantile(latencies, 0.99);
  return sample;
}

double median(std::vector<double> values) { return quantile(values, 0.5); }

} // namespace vmemfs::bench
