// SPDX-License-Identifier: MIT
// Registers and run control of a VM of KVM, without its program: see vcpu_stop.h.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "drivers/kvm/api/vmm_api.h"
#include "drivers/kvm/vcpus/stop_thread.h"
#include "drivers/kvm/vcpus/vcpu_stop.h"
#include "host/process_space.h"
#include "util/mutex.h"
#include "util/timed_lock.h"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmemfs::kvm {

/// Thread-safe. Registers are those of a stop of some 20 us, or of the moment of the pause.
class VcpuControl final : public RegisterReader, public RegisterWriter, public RunControl {
public:
  /// `find_again` has set_vcpus() called: a vCPU's thread has ended. With `api` the program itself pauses and
  /// resumes the VM.
  VcpuControl(std::shared_ptr<const ProcessSpace> space, std::optional<VmmApi> api,
              std::function<void()> find_again);
  VcpuControl(const VcpuControl&) = delete;
  VcpuControl& operator=(const VcpuControl&) = delete;
  ~VcpuControl() override = default;

  /// Sorted by vCPU.
  void set_vcpus(std::vector<VcpuThread> vcpus) EXCLUDES(vcpus_mutex_);

  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> wanted) override;
  bool usually_has(RegisterIndex reg) const override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;

  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  bool can_keep() const override { return api_.has_value(); }
  std::string resume_ticket() const override;

private:
  using Vcpus = std::vector<VcpuThread>;

  /// A pause by us.
  struct Hold {
    Vcpus vcpus;
    std::vector<StoppedVcpu> stopped;   ///< of `vcpus`, in their order
    std::unique_ptr<StopThread> thread; ///< null: the program has paused it, by its API
  };

  [[nodiscard]] Vcpus vcpus() const EXCLUDES(vcpus_mutex_);
  [[nodiscard]] Vcpus started_vcpus() const;
  [[nodiscard]] Result<Vcpus> threads_of(std::span<const VcpuId> wanted) const;
  Result<TimedLock::Owner> lock_operations();
  Hold* current_hold() REQUIRES(operations_);
  [[nodiscard]] StopThread::Request request(Vcpus vcpus) const;

  Result<std::vector<StoppedVcpu>> stop_once(Vcpus vcpus) REQUIRES(operations_);
  Result<std::vector<StoppedVcpu>> stopped_vcpus(std::span<const VcpuId> wanted) REQUIRES(operations_);
  Result<void> write_held(Hold& hold, VcpuId vcpu, std::span<const RegisterValue> values)
      REQUIRES(operations_);
  Result<void> write_running(VcpuId vcpu, std::span<const RegisterValue> values) REQUIRES(operations_);
  Result<RunStatus> status() REQUIRES(operations_);
  Result<RunStatus> pause_by_threads() REQUIRES(operations_);
  Result<RunStatus> pause_by_api(Vcpus started) REQUIRES(operations_);

  const std::shared_ptr<const ProcessSpace> space_;
  const std::optional<VmmApi> api_;
  const std::function<void()> find_again_;
  const std::shared_ptr<std::atomic<unsigned>> threads_ = std::make_shared<std::atomic<unsigned>>(0);
  TimedLock operations_; ///< one stop at a time: a thread has one tracer
  std::unique_ptr<Hold> hold_ GUARDED_BY(operations_);
  mutable Mutex vcpus_mutex_;
  Vcpus vcpus_ GUARDED_BY(vcpus_mutex_);
};

} // namespace vmemfs::kvm
