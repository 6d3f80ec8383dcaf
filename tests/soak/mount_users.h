// SPDX-License-Identifier: MIT
// Users of a mount in a soak, beside those that read file after file (stress/mount_readers.h): programs that
// list, map, read from end to end and are killed at it, and commands to VMs.
#pragma once

#include "soak/faults.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {

class MountUsers {
public:
  /// `pace`: the sleep between two programs, and between two commands.
  MountUsers(std::string mountpoint, std::chrono::milliseconds pace, Faults& faults);
  void stop() { threads_.clear(); }

  [[nodiscard]] std::uint64_t done() const { return done_; }

private:
  void run_programs(const std::stop_token& stop);
  void run_commands(const std::stop_token& stop);
  void run_one(std::mt19937& dice);
  void command_one(std::mt19937& dice);
  [[nodiscard]] std::string any_vm(std::mt19937& dice) const;
  void expect_end(const std::vector<std::string>& command, std::chrono::seconds limit);
  void kill_midway(const std::vector<std::string>& command, std::mt19937& dice);

  const std::string mountpoint_;
  const std::chrono::milliseconds pace_;
  Faults& faults_;
  std::atomic<std::uint64_t> done_{0};
  std::vector<std::jthread> threads_;
};

} // namespace vmemfs::test
