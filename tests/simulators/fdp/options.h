// SPDX-License-Identifier: MIT
// Options of the simulator, its scripted faults, and what it saw of its clients.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fdp_simulator {

enum class FaultKind {
  refuse,     ///< status 0 and one byte
  status,     ///< of the right reply: `value`
  wrong_size, ///< `value` bytes more
  size_field, ///< the size of the right reply says 0xffffffff
  late,       ///< the reply `delay` later
  silence,    ///< no reply, now and later
  untaken,    ///< the request is not taken, now and later
  hold_lock,  ///< the reply is there, and its channel's lock is kept
};

/// What happens at a request.
struct Fault {
  FaultKind kind;
  unsigned skip = 0; ///< so many requests are answered before
  unsigned times = 1;
  std::uint32_t value = 1;
  std::chrono::milliseconds delay{0};
};

struct Options {
  std::uint64_t ram_bytes = std::uint64_t{5} << 30U;
  std::uint64_t hole_bytes = std::uint64_t{512} << 20U;
  std::uint32_t vcpus = 2;
  bool firmware = true;                 ///< pages below 1 MiB can be read
  bool sets_registers = true;           ///< false: says so, and does nothing
  bool obeys = true;                    ///< false: says that it paused or resumed, and does nothing
  std::chrono::microseconds latency{0}; ///< of each reply
  std::vector<Fault> faults{};
};

struct Seen {
  unsigned requests = 0;
  unsigned reads = 0;
  unsigned writes = 0;
  std::size_t max_read = 0;
  std::size_t max_write = 0;
  std::vector<std::string> violations{}; ///< what a good client does not do
};

} // namespace fdp_simulator
