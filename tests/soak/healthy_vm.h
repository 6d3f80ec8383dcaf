// SPDX-License-Identifier: MIT
// The VM of a soak that is without fault: always readable, fast and right, whatever the others do.
#pragma once

#include "soak/faults.h"
#include "support/qemu_guest.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {

/// Median and maximum in microseconds, of the times since the last call of HealthyVm::latencies().
struct Latencies {
  std::uint64_t ls_median = 0;
  std::uint64_t ls_max = 0;
  std::uint64_t read_median = 0;
  std::uint64_t read_max = 0;
};

class HealthyVm {
public:
  explicit HealthyVm(Faults& faults);

  /// NAME=DRIVER:..., as after --vm.
  [[nodiscard]] std::string spec() const;
  [[nodiscard]] std::string monitor() const { return guest_.driver_socket(); }

  /// Checks the VM in this mount, from now to stop().
  void start(const std::string& mountpoint);
  void stop() { threads_.clear(); }

  [[nodiscard]] bool is_running() { return guest_.running(); }
  [[nodiscard]] Latencies latencies();
  [[nodiscard]] std::uint64_t checks() const { return checks_; }

  static constexpr const char* kName = "healthy";

private:
  using Clock = std::chrono::steady_clock;
  void measure(const std::stop_token& stop);
  void compare(const std::stop_token& stop);
  void watch(const std::stop_token& stop);
  void list_root();
  void read_page(std::mt19937& dice);
  void compare_memory(std::mt19937& dice);
  void compare_counter();

  Faults& faults_;
  QemuGuest guest_;
  std::string mountpoint_;
  std::atomic<Clock::time_point> last_sign_{Clock::now()}; ///< of the thread that measures
  std::atomic<std::uint64_t> checks_{0};
  std::mutex mutex_;
  std::vector<std::uint64_t> ls_;
  std::vector<std::uint64_t> reads_;
  std::vector<std::jthread> threads_;
};

} // namespace vmemfs::test
