// SPDX-License-Identifier: MIT
// The guest of the simulator: memory that is a function of the address, and what was written over it.
#pragma once

#include "simulators/fdp/options.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace fdp_simulator {

inline constexpr std::uint64_t kUnknown = 0xBADBADBADBADBADB;

/// Thread-safe.
class Guest {
public:
  explicit Guest(const Options& options) : options_{options} {}

  /// Whether all of the range can be read.
  bool read(std::uint64_t address, std::size_t size, std::uint8_t* bytes);
  /// The same; std::runtime_error if it cannot.
  [[nodiscard]] std::vector<std::byte> bytes(std::uint64_t address, std::size_t size);
  bool write(std::uint64_t address, std::size_t size, const std::uint8_t* bytes);
  /// From now on reads of this range fail.
  void make_bad(std::uint64_t begin, std::uint64_t end);

  [[nodiscard]] std::uint64_t get_register(std::uint32_t cpu, std::uint16_t id);
  void set_register(std::uint32_t cpu, std::uint16_t id, std::uint64_t value);
  [[nodiscard]] std::uint64_t get_msr(std::uint32_t cpu, std::uint64_t msr);
  void set_msr(std::uint32_t cpu, std::uint64_t msr, std::uint64_t value);

  std::atomic<bool> paused{false};
  std::atomic<bool> at_breakpoint{false};
  std::atomic<unsigned> pauses{0};

private:
  [[nodiscard]] bool has_memory(std::uint64_t address) const;

  const Options& options_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint8_t> written_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> bad_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> registers_; ///< that were set
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> msrs_;
};

} // namespace fdp_simulator
