// SPDX-License-Identifier: MIT
// Daemon's side of the guardian. The other side is fs/guardian/guardian_process.h.
#pragma once

#include "fs/guardian/guardian_message.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"
#include "vm/state/pause_guard.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace vmemfs {

/// Starts the process with the first ticket, and another one if it ends while tickets are armed. Tickets that
/// are armed when a Guardian is destroyed are handled as if the daemon had been killed. Thread-safe.
class Guardian : public PauseGuard {
public:
  static constexpr std::string_view kThisProgram = "/proc/self/exe";
  /// The subcommand of `program` that calls run_guardian().
  static constexpr std::string_view kSubcommand = "guardian-process";

  /// Takes a sentence for the user. Called on any thread, with the Guardian's lock held.
  using Report = std::function<void(const std::string&)>;

  /// `program`: vmemfs, or another program with this subcommand. `killed` is called if the process ends while
  /// tickets are armed, whether or not another one takes over. The watcher must outlive the Guardian.
  explicit Guardian(FdWatcher& watcher, std::string program = std::string{kThisProgram}, Report killed = {});
  ~Guardian() override;
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  /// May take as long as starting a program. source_failed: the guardian could not be started; then nothing
  /// is armed. invalid: the ticket is too long.
  Result<void> arm(std::uint32_t vm, std::string_view driver, std::string_view ticket) override;
  void disarm(std::uint32_t vm) override;

private:
  class Child;
  enum class Wait : unsigned char { until_ready, not_at_all };

  Result<std::unique_ptr<Child>> start(Wait wait) REQUIRES(mutex_);
  Result<void> hand_over(Child& child) REQUIRES(mutex_);
  void on_end(std::uint64_t number) EXCLUDES(mutex_);
  void report(const std::string& text) const REQUIRES(mutex_);

  FdWatcher& watcher_;
  const std::string program_;
  const Report killed_;
  Mutex mutex_; ///< not held while a Child is destroyed
  std::map<std::uint32_t, GuardTicket> tickets_ GUARDED_BY(mutex_);
  std::uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  int unready_ GUARDED_BY(mutex_) = 0; ///< number of processes in a row that ended before they were ready
  std::unique_ptr<Child> child_ GUARDED_BY(mutex_); ///< null: none was started yet, or it has ended
};

} // namespace vmemfs
