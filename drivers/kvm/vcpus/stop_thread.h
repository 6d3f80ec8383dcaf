// SPDX-License-Identifier: MIT
// A thread that stops vCPUs of one VM, for a moment or until they are to run again.
//
// ptrace(2) ties what it stops to one thread, and only that thread's end frees a vCPU that cannot be stopped.
// A process that is hostile can keep the thread waiting, as by what it maps in place of its pages; so nobody
// waits for it longer than a limit. It then goes on alone, and ends by itself if it ever can.
#pragma once

#include "core/error.h"
#include "drivers/kvm/vcpus/vcpu_stop.h"
#include "util/mutex.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace vmemfs::kvm {

/// Thread-safe.
class StopThread {
public:
  /// What the thread does with the stopped vCPUs.
  using Use = std::function<Result<void>(VcpuStop& stop)>;

  struct Request {
    std::shared_ptr<const ProcessSpace> space;
    std::vector<VcpuThread> vcpus;
    std::shared_ptr<std::atomic<unsigned>> threads; ///< such threads of this VM
    VcpuTest good = has_registers;                  ///< see VcpuStop::make()
    Use use{};         ///< called once, and may outlast run(): it owns what it refers to; may be empty
    bool hold = false; ///< the vCPUs stay stopped until this object is destroyed
  };

  /// Starts the thread and waits until it has stopped the vCPUs and used them, and, without `hold`, resumed
  /// them. timed_out: it has not within kLimit. busy: kMaxThreads of this VM have not ended.
  static Result<std::unique_ptr<StopThread>> run(Request request);

  StopThread(const StopThread&) = delete;
  StopThread& operator=(const StopThread&) = delete;
  ~StopThread(); ///< resumes the vCPUs, and waits for that, kLimit at most

  /// False once a thread of the VM that was stopped has been killed: then the others have been resumed.
  [[nodiscard]] bool holds() const;

  static constexpr std::chrono::seconds kLimit{5};
  static constexpr unsigned kMaxThreads = 4;

private:
  struct State {
    Mutex mutex;
    Condition changed;
    std::optional<Result<void>> result GUARDED_BY(mutex); ///< set once
    bool resume GUARDED_BY(mutex) = false;                ///< requested
    bool ended GUARDED_BY(mutex) = false;                 ///< the vCPUs run
  };

  explicit StopThread(std::shared_ptr<State> state) : state_{std::move(state)} {}

  static void stop_and_hold(State& state, const Request& request);
  static void hold(State& state, VcpuStop& stop);

  const std::shared_ptr<State> state_; ///< also the thread's
};

} // namespace vmemfs::kvm
