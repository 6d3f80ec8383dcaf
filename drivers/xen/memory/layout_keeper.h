// SPDX-License-Identifier: MIT
// The current layout of a domain, kept up to date by work in the background.
//
// It is scanned again when the number of the domain's pages has changed or a page of the map was refused, and
// once after attaching, as the first scan is a quick one. The work is done in steps with pauses between them.
#pragma once

#include "driver/kit/owner_lease.h"
#include "drivers/xen/memory/layout_finder.h"
#include "drivers/xen/memory/page_batch.h"
#include "util/mutex.h"
#include "util/published.h"
#include "util/rate_limit.h"
#include "util/worker.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace vmemfs::xen {

/// Thread-safe.
class LayoutKeeper {
public:
  struct Callbacks {
    std::function<void()> changed; ///< the map has changed
    std::function<void()> failed;  ///< the domain could not be queried: it may have ended
  };

  /// All arguments outlive the object. Callbacks run on any thread and must not call back.
  LayoutKeeper(xc_interface* control, const ForeignMemory& memory, const MachineTable* table,
               const DomainInfo& domain, Worker& worker, Callbacks callbacks);
  ~LayoutKeeper() = default; ///< returns when no work is left in the background
  LayoutKeeper(const LayoutKeeper&) = delete;
  LayoutKeeper& operator=(const LayoutKeeper&) = delete;

  /// Does a quick scan and schedules a closer one in the background. Call it first.
  Result<void> begin();

  /// Never null.
  [[nodiscard]] std::shared_ptr<const Layout> load() const { return layout_.load(); }

  /// Does a complete scan, whatever it costs.
  Result<void> refresh() EXCLUDES(publish_mutex_);

  /// Schedules a scan in the background if there is a reason. One hypercall, ten times a second at most.
  void poll();

  /// A page of the map could not be mapped.
  void note_refused() { refused_.store(true, std::memory_order_relaxed); }

  /// For PageBatch; null unless pages are populated on demand.
  [[nodiscard]] const PageBatch::Allowance* allowance() const { return on_demand_ ? &allowance_ : nullptr; }
  [[nodiscard]] LayoutFinder::OnDemand on_demand() const { return finder_.on_demand(); }

private:
  /// A running scan in the background.
  struct Scan {
    GfnScan scan;
    ScanDegree degree;
    std::uint64_t pages; ///< the domain's number of pages when it began
    std::uint64_t begun;
  };

  void publish(Layout layout, std::uint64_t begun) EXCLUDES(publish_mutex_);
  void schedule_scan(Worker::Clock::duration delay);
  void scan_some();
  [[nodiscard]] Result<bool> step();
  [[nodiscard]] Result<bool> begin_scan(ScanDegree degree);
  [[nodiscard]] std::size_t spare_pages() const;

  xc_interface* const control_;
  const std::uint32_t domain_;
  const DomainKind kind_;
  const LayoutFinder finder_;
  Worker& worker_;
  const Callbacks callbacks_;
  const PageBatch::Allowance allowance_{[this] { return spare_pages(); }};
  std::atomic<bool> on_demand_{false};

  Published<Layout> layout_;
  Mutex publish_mutex_;                                          ///< one change of layout_ at a time
  std::uint64_t published_begun_ GUARDED_BY(publish_mutex_) = 0; ///< number of the scan that found the layout
  std::atomic<std::uint64_t> scans_begun_{0};
  std::atomic<bool> refused_{false};
  RateLimit poll_limit_{std::chrono::milliseconds{100}};

  std::atomic<bool> scanning_{false}; ///< the job is posted or running; there is one at a time
  std::optional<Scan> scan_;          ///< belongs to the job

  OwnerLease<LayoutKeeper> lease_{*this}; ///< last: ends first
};

} // namespace vmemfs::xen
