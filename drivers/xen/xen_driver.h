// The memory, registers and state of one Xen domain, from domain 0.
//
// Bytes: foreign mappings of a few hundred pages, copied and let go at once. Map: for PVH and HVM by trying
// frame numbers, a few at attaching and the rest in the background; for PV by the tables of guest and
// hypervisor. Both are looked at anew when the number of the domain's pages changes, or a page is refused.
// The end of the domain is heard of from xenstore, and seen when a mapping fails.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "drivers/xen/domain_news.h"
#include "drivers/xen/layout_finder.h"
#include "drivers/xen/page_batch.h"
#include "drivers/xen/pause_count.h"
#include "util/published.h"
#include "util/rate_limit.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::xen {

class XenDriver final : public Driver, MemoryWriter, RegisterReader, RegisterWriter, RunControl {
public:
  /// `domain`: id, uuid or name.
  static Result<std::unique_ptr<XenDriver>> attach(std::string_view domain, const DriverContext& context);
  XenDriver(const XenDriver&) = delete;
  XenDriver& operator=(const XenDriver&) = delete;
  ~XenDriver() override;

  const VmIdentity& identity() const override { return identity_; }
  std::uint32_t vcpu_count() const override { return info_.vcpus; }
  std::shared_ptr<const MemoryMap> memory_map() const override;
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  void follow_layout(bool missed) override;
  void follow_state() override;
  std::optional<std::chrono::milliseconds> state_delay() const override { return PauseCount::kDelay; }
  ReadCost read_cost() const override;
  bool gone() const override { return gone_; }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override;
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return this; }
  RegisterWriter* register_writer() override { return this; }
  RunControl* run_control() override { return this; }

private:
  /// What it takes to reach the domain.
  struct Access {
    Control control;
    ForeignMemory memory;
    std::shared_ptr<const MachineTable> table; ///< of PV only
    unsigned bits;                             ///< of a PV guest's words
    std::shared_ptr<DomainNews> news;
  };
  XenDriver(DomainInfo info, Access access, const DriverContext& context);
  static Result<Access> open_access(Control control, std::shared_ptr<DomainNews> news,
                                    const DomainInfo& info);

  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  Result<RegisterSet> read_registers(VcpuId vcpu) override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<void> pause() override;
  Result<void> resume() override;
  std::string resume_ticket() const override;

  [[nodiscard]] Result<void> check_vcpu(VcpuId vcpu) const;
  [[nodiscard]] std::size_t allowance() const;
  WriteOutcome write_part(const Layout& layout, Gpa gpa, std::span<const std::byte> bytes);

  // The layout.
  void publish(Layout layout, std::uint64_t begun);
  void scan_later(std::chrono::milliseconds delay);
  void scan_some();
  [[nodiscard]] Result<bool> scan_step();

  // The end.
  void look_for_end();
  void end();
  void emit(VmEvent event);

  const DomainInfo info_; ///< as it was when attached
  const Access access_;
  const DriverContext context_;
  const VmIdentity identity_;
  const LayoutFinder finder_;
  PauseCount pauses_;
  std::atomic<bool> gone_{false};
  const PageBatch::Allowance allowance_{[this] { return allowance(); }};
  std::atomic<bool> on_demand_{false}; ///< pages are still populated on demand

  Published<Layout> layout_;
  std::mutex layout_mutex_;           ///< one change of layout_ at a time
  std::uint64_t published_begun_ = 0; ///< when what is published was begun; needs layout_mutex_
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<bool> refused_{false}; ///< a page of the map was
  RateLimit look_limit_{std::chrono::milliseconds{100}};
  std::atomic<bool> scanning_{false};

  /// The scan that is under way in the background.
  struct Scan {
    GfnScan scan;
    ScanDegree degree;
    std::uint64_t pages;
    std::uint64_t begun;
  };
  std::optional<Scan> scan_; ///< for the job alone, of which there is one at a time

  std::mutex listener_mutex_; ///< held while the listener is called
  VmListener* listener_ = nullptr;

  /// What jobs on other threads hold on to; `driver` is null once it has ended.
  struct Lease {
    std::mutex mutex;
    XenDriver* driver;
  };
  std::shared_ptr<Lease> lease_;
  DomainNews::Subscription subscription_; ///< last: its callback uses the rest
};

} // namespace vmemfs::xen
