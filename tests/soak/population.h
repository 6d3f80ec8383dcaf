// SPDX-License-Identifier: MIT
// The VMs of a soak that come and go: real QEMUs, some hang for a while, liars that only look like a QEMU,
// and VMs that answer slowly, attached by hand.
#pragma once

#include "attack/attacker_program.h"
#include "soak/faults.h"
#include "stress/churned_vm.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {

class Population {
public:
  /// `pace`: the sleep between two changes of a kind.
  /// `victim`: the monitor of another VM, which liars name as theirs.
  Population(std::string mountpoint, std::string victim, std::chrono::milliseconds pace, Faults& faults)
      : mountpoint_{std::move(mountpoint)}, victim_{std::move(victim)}, pace_{pace}, faults_{faults} {}

  ~Population() { end_all(); }
  Population(const Population&) = delete;
  Population& operator=(const Population&) = delete;

  void start();
  /// VMs come, go and hang no more; those that hung go on. Their threads stay: QEMUs end with the thread that
  /// started them.
  void freeze();
  /// After freeze(): every guest that was started running runs, within a time limit.
  void expect_none_paused();
  /// The daemon has ended, with all that was attached by hand.
  void forget_attached() { attached_.assign(kSlow, false); }
  /// Freezes, and ends all of them.
  void end_all();

  [[nodiscard]] std::uint64_t come() const { return come_; }
  [[nodiscard]] std::uint64_t hung() const { return hung_; }
  [[nodiscard]] std::uint64_t lied() const { return lied_; }

private:
  void run(const std::stop_token& stop, void (Population::*step)(std::mt19937&), unsigned seed);
  void churn_one(std::mt19937& dice);
  void hang(ChurnedVm& vm, std::mt19937& dice);
  void start_liar(std::mt19937& dice);
  void attach_or_detach_one(std::mt19937& dice);
  void detach(unsigned i);
  void rest(std::chrono::milliseconds time) const; ///< not past a freeze

  static constexpr std::size_t kQemus = 5;
  static constexpr std::size_t kLiars = 4;
  static constexpr unsigned kSlow = 4;

  const std::string mountpoint_;
  const std::string victim_;
  const std::chrono::milliseconds pace_;
  Faults& faults_;
  std::atomic<std::uint64_t> come_{0};
  std::atomic<std::uint64_t> hung_{0};
  std::atomic<std::uint64_t> lied_{0};
  std::uint64_t next_number_ = 0;
  std::uint64_t next_liar_ = 0;
  std::atomic<bool> frozen_{true};
  std::shared_mutex step_; ///< held shared for each step; guards the VMs with frozen_
  std::vector<std::unique_ptr<ChurnedVm>> qemus_{kQemus};       ///< changed by steps of churn_one()
  std::vector<std::unique_ptr<AttackerProgram>> liars_{kLiars}; ///< of start_liar()
  std::vector<bool> attached_ = std::vector<bool>(kSlow);       ///< of attach_or_detach_one()
  std::vector<std::jthread> threads_;
};

} // namespace vmemfs::test
