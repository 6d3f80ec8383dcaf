// SPDX-License-Identifier: MIT
// One VM that has connected to a hub.
//
// Map: by memory slots or by trying pages, when a connection begins and when the size of the memory changes.
// Bytes and registers: by requests that are on their way together; pages that are read often are mapped, if
// there is a device for it. Pause: a PAUSE event of each vCPU that is kept until the resume; it ends with the
// connection. A VM that has lost its connection and comes back is the same one.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/listener_slot.h"
#include "driver/kit/owner_lease.h"
#include "drivers/kvmi/hub/guest_link.h"
#include "drivers/kvmi/hub/hub.h"
#include "drivers/kvmi/link/session.h"
#include "drivers/kvmi/mapping/open_mapping.h"
#include "drivers/kvmi/vcpus/registers.h"
#include "util/fd_watcher.h"
#include "util/lane.h"
#include "util/mutex.h"
#include "util/published.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::kvmi {

class KvmiDriver final : public Driver, MemoryWriter, RegisterReader, RegisterWriter, RunControl {
public:
  /// `domain`: name or uuid; waits for it until `deadline`.
  static Result<std::unique_ptr<KvmiDriver>> attach(std::string_view domain, std::shared_ptr<Hub> hub,
                                                    std::chrono::steady_clock::time_point deadline,
                                                    MappingSettings mapping, const DriverContext& context);
  KvmiDriver(const KvmiDriver&) = delete;
  KvmiDriver& operator=(const KvmiDriver&) = delete;
  ~KvmiDriver() override; ///< resumes the VM

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_.load(); }
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  bool gone() const override { return gone_; }
  ReadCost read_cost() const override;
  VcpuSet vcpus() const override { return *vcpus_.load(); }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return this; }
  RegisterWriter* register_writer() override { return this; }
  RunControl* run_control() override { return this; }

private:
  /// A session that has been prepared, the registers that were set by it, and the pages that it has mapped.
  struct Attached {
    Attached(std::shared_ptr<Session> of, const MappingSettings& settings, std::function<void()> wanted)
        : session{std::move(of)}, registers{*session},
          mapping{open_mapping(settings, *session, std::move(wanted))} {}
    const std::shared_ptr<Session> session;
    Registers registers;
    const OpenedMapping mapping;
  };

  KvmiDriver(std::shared_ptr<Hub> hub, std::shared_ptr<GuestLink> link, MappingSettings mapping,
             const DriverContext& context);

  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  const RegisterLayout& register_layout() const override;
  bool usually_has(RegisterIndex reg) const override { return is_readable(reg); }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  bool can_keep() const override { return false; }

  [[nodiscard]] std::shared_ptr<Attached> attached() const EXCLUDES(attached_mutex_);
  /// The attached session if it has not ended.
  [[nodiscard]] Result<std::shared_ptr<Attached>> usable() const;
  void on_link(GuestLink::State state);
  void follow_later();
  /// Runs `job` on the worker, for a limited time and not beyond the end of the driver.
  void post(std::function<void(KvmiDriver&)> job);
  void map_later();
  void unmap_later();
  [[nodiscard]] Result<void> follow() EXCLUDES(follow_mutex_);
  [[nodiscard]] Result<void> adopt(const std::shared_ptr<Session>& session) REQUIRES(follow_mutex_);
  [[nodiscard]] Result<void> update(Session& session, const Facts& facts, bool probe_again)
      REQUIRES(follow_mutex_);
  [[nodiscard]] tl::unexpected<Error> gone_error() const;
  [[nodiscard]] tl::unexpected<Error> closed_at_once() const;

  const std::shared_ptr<Hub> hub_;
  const std::shared_ptr<GuestLink> link_;
  const MappingSettings mapping_;
  const VmIdentity identity_;
  std::atomic<bool> gone_{false};
  std::atomic<bool> follow_pending_{false};
  std::atomic<std::chrono::nanoseconds> round_trip_{std::chrono::nanoseconds{0}};

  ListenerSlot listener_;
  Published<MemoryMap> map_;          ///< never null once attached
  Published<std::string> map_source_; ///< how it was found; never null
  Published<VcpuSet> vcpus_;          ///< never null
  mutable Mutex attached_mutex_;      ///< leaf
  std::shared_ptr<Attached> attached_ GUARDED_BY(attached_mutex_);
  Mutex follow_mutex_; ///< one look at the VM's sizes at a time; held while it is asked
  Facts facts_ GUARDED_BY(follow_mutex_);

  std::stop_source leaving_; ///< ends a job that asks a slow VM
  Lane worker_;
  OwnerLease<KvmiDriver> lease_{*this};
  FdWatcher::Watch poll_; ///< last: its callback uses the rest
};

} // namespace vmemfs::kvmi
