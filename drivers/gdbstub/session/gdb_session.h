// SPDX-License-Identifier: MIT
// Session with a server of GDB's remote protocol: the target's memory, registers and run state.
//
// The session has the only connection, and one request runs at a time. While the target runs nothing is asked
// of it: that would stop it (QEMU), or get no answer (others). So reads are `busy` then.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "driver/driver.h"
#include "driver/kit/listener_slot.h"
#include "drivers/gdbstub/link/server_address.h"
#include "drivers/gdbstub/link/server_link.h"
#include "drivers/gdbstub/session/greeting.h"
#include "drivers/gdbstub/session/memory_reader.h"
#include "drivers/gdbstub/session/read_queue.h"
#include "drivers/gdbstub/target/register_plan.h"
#include "util/rate_limit.h"
#include "util/timed_lock.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vmemfs::gdbstub {

/// The state in which a target is left if nobody has paused or resumed it by this session.
enum class Leave : unsigned char {
  as_found, ///< as before connecting, if the server says it; else running
  running,
  stopped,
};

struct SessionOptions {
  ServerAddress address;
  std::chrono::milliseconds timeout; ///< for each reply
  Leave leave = Leave::as_found;
  bool alone = false;     ///< by the user's word, nobody else resumes the target
  bool reconnects = true; ///< if the connection has ended by the time it has to detach
};

/// Thread-safe.
class GdbSession final : public RunControl {
public:
  /// Connects, which stops the target.
  [[nodiscard]] static Result<std::unique_ptr<GdbSession>> open(const SessionOptions& options);
  /// Connects, and detaches, which resumes the target. No error if nobody listens any more.
  [[nodiscard]] static Result<void> resume_target(const ServerAddress& address,
                                                  std::chrono::milliseconds timeout);
  ~GdbSession() override; ///< detaches
  GdbSession(const GdbSession&) = delete;
  GdbSession& operator=(const GdbSession&) = delete;

  [[nodiscard]] const ServerFacts& facts() const { return facts_; } ///< as of connecting
  [[nodiscard]] bool gone() const { return gone_; }
  /// Leaves the target in its state, see Leave; then the session is gone. Only the first call does anything.
  /// Failure: the target may stay stopped.
  [[nodiscard]] Result<void> detach();
  void set_listener(VmListener* listener) { listener_.set(listener); }
  void report(VmEvent event) { listener_.emit(event); }

  /// As Driver::read(), with the same map in all calls. `busy`: the target runs.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map);
  /// One set for each thread; all of one instant, as the target is stopped.
  [[nodiscard]] Result<std::vector<RegisterSet>> read_registers(std::span<const std::string> threads,
                                                                const RegisterPlan& plan);
  /// busy: the target runs.
  [[nodiscard]] Result<std::vector<ServerThread>> threads();

  [[nodiscard]] Result<RunStatus> run_status() override;
  [[nodiscard]] Result<RunStatus> pause() override;
  [[nodiscard]] Result<RunStatus> resume() override;
  [[nodiscard]] std::string resume_ticket() const override;

  /// Takes what the server has sent by itself, unless the session is in use. For once a second.
  void poll();

  [[nodiscard]] bool leaves_running() const { return leaves_running_; }

private:
  GdbSession(const SessionOptions& options, ServerLink link, ServerFacts facts);

  /// Calls `use` with the lock held, and looks at the link afterwards. A target that somebody else had
  /// resumed, and that a request has stopped, runs again after it.
  template <typename Use> auto with_link(Use&& use) -> decltype(use());
  [[nodiscard]] Result<void> carry_out(ReadSource& source, const MemoryMap& map);
  [[nodiscard]] Result<void> take_reports() REQUIRES(lock_);
  [[nodiscard]] std::chrono::milliseconds max_time() const;
  [[nodiscard]] Result<void> require_stopped() const REQUIRES(lock_);
  [[nodiscard]] Result<void> set_physical(bool on) REQUIRES(lock_);
  [[nodiscard]] Result<RegisterSet> registers_of(const std::string& thread, const RegisterPlan& plan)
      REQUIRES(lock_);
  [[nodiscard]] RunStatus status() const REQUIRES(lock_);
  [[nodiscard]] Result<bool> find_out_whether_it_ran() REQUIRES(lock_);
  [[nodiscard]] Result<bool> take_stop_by_request() REQUIRES(lock_);
  [[nodiscard]] Result<void> send_resume() REQUIRES(lock_);
  void stopped(const std::string& report, bool by_command) REQUIRES(lock_);
  void check_link() REQUIRES(lock_);
  void end(const std::string& why) REQUIRES(lock_);
  [[nodiscard]] Result<void> leave() REQUIRES(lock_);

  const SessionOptions options_;
  const ServerFacts facts_;
  ReadQueue reads_;
  mutable TimedLock lock_; ///< held while the server is asked
  ServerLink link_ GUARDED_BY(lock_);
  bool running_ GUARDED_BY(lock_) = false;
  bool stopped_by_command_ GUARDED_BY(lock_) = true;
  bool detached_ GUARDED_BY(lock_) = false;
  unsigned lost_requests_ GUARDED_BY(lock_) = 0; ///< that were taken notice of
  bool physical_on_ GUARDED_BY(lock_) = false;   ///< a setting of the server that outlives the connection
  std::string stop_report_ GUARDED_BY(lock_);
  std::atomic<bool> leaves_running_;
  /// It ran before connecting, as far as is known, and was neither paused nor resumed since.
  std::atomic<bool> stopped_by_connecting_;
  RateLimit refused_reads_{std::chrono::seconds{10}}; ///< of reports of reads while the target runs
  std::atomic<bool> gone_{false};
  ListenerSlot listener_;
};

} // namespace vmemfs::gdbstub
