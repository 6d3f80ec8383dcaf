// SPDX-License-Identifier: MIT
// Measurement of a target: one sample of one access pattern.
#pragma once

#include "target.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::bench {

struct Pattern {
  std::string name; ///< "seq 1M", "rand 4K x2", "8 bytes"
  std::size_t size; ///< of one read, in bytes
  bool random;
  unsigned readers;
  bool latency; ///< times each read by itself
};

/// The patterns of the comparison, in the order of its table.
[[nodiscard]] const std::vector<Pattern>& patterns();

struct Sample {
  double bytes_per_second = 0;
  double reads_per_second = 0;
  double cpu_seconds_per_gb = 0; ///< client and server together, per 1e9 bytes
  double p50_us = 0;             ///< only where the pattern asks for latency
  double p99_us = 0;
  double mean_us = 0;
};

/// The range to read, [begin, end) of guest physical addresses, and the process whose CPU time is added.
struct Area {
  std::uint64_t begin;
  std::uint64_t end;
  std::vector<pid_t> servers;
};

using MakeTarget = std::function<std::unique_ptr<Target>()>;

[[nodiscard]] Sample measure(const MakeTarget& make, const Pattern& pattern, const Area& area,
                             std::chrono::milliseconds length);

[[nodiscard]] double median(std::vector<double> values);

} // namespace vmemfs::bench
