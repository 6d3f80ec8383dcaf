// SPDX-License-Identifier: MIT
// The daemon's side of the guardian: see fs/app/guardian_process.h for the other.
#pragma once

#include "fs/app/guardian_message.h"
#include "util/fd_watcher.h"
#include "vm/pause_guard.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace vmemfs {

/// Starts the process with the first ticket, and another whenever one has ended while tickets are armed.
/// What is armed when a Guardian is destroyed counts as if the daemon had been killed.
class Guardian : public PauseGuard {
public:
  static constexpr std::string_view kThisProgram = "/proc/self/exe";
  /// The subcommand of `program` that calls run_guardian().
  static constexpr std::string_view kSubcommand = "guardian-process";

  /// `program`: vmemfs, or what has this subcommand too. The watcher must live longer.
  explicit Guardian(FdWatcher& watcher, std::string program = std::string{kThisProgram});
  ~Guardian() override;
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  /// May take as long as a program takes to start. source_failed: there is no guardian; then nothing is
  /// armed. invalid: a ticket that is too long.
  Result<void> arm(std::uint32_t vm, std::string_view driver, std::string_view ticket) override;
  void disarm(std::uint32_t vm) override;

private:
  class Child;
  enum class Wait : unsigned char { until_ready, not_at_all };

  Result<std::unique_ptr<Child>> start(Wait wait);
  Result<void> hand_over(Child& child);
  void on_end(std::uint64_t number);

  FdWatcher& watcher_;
  const std::string program_;
  std::mutex mutex_; ///< guards what follows; not held while a Child is destroyed
  std::map<std::uint32_t, GuardTicket> tickets_;
  std::uint64_t last_number_ = 0;
  int unready_ = 0;              ///< so many in a row ended before they were ready
  std::unique_ptr<Child> child_; ///< null: none was needed yet, or it has ended
};

} // namespace vmemfs
