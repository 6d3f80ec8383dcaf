// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/layout_keeper.h"

#include "util/log.h"

#include <limits>
#include <utility>

namespace vmemfs::xen {
namespace {

/// Length of a step of work and of the pause after it: half a CPU at most.
constexpr std::chrono::milliseconds kAtATime{50};

} // namespace

LayoutKeeper::LayoutKeeper(xc_interface* control, const ForeignMemory& memory, const MachineTable* table,
                           const DomainInfo& domain, Worker& worker, Callbacks callbacks)
    : control_{control}, domain_{domain.id}, kind_{domain.kind},
      finder_{control, memory, table, domain.id, domain.kind}, worker_{worker},
      callbacks_{std::move(callbacks)} {}

Result<void> LayoutKeeper::begin() {
  const std::uint64_t begun = ++scans_begun_;
  auto layout = finder_.find(ScanDegree::samples);
  if (!layout) {
    return tl::unexpected{std::move(layout.error())};
  }
  publish(std::move(*layout), begun);
  schedule_scan({});
  return {};
}

Result<void> LayoutKeeper::refresh() {
  const std::uint64_t begun = ++scans_begun_;
  auto layout = finder_.find(ScanDegree::pages);
  if (!layout) {
    return tl::unexpected{std::move(layout.error())};
  }
  publish(std::move(*layout), begun);
  return {};
}

/// Does nothing if the result of a later scan is published already.
void LayoutKeeper::publish(Layout layout, std::uint64_t begun) {
  const MutexLock lock{publish_mutex_};
  if (begun <= published_begun_) {
    return;
  }
  published_begun_ = begun;
  const auto before = layout_.load();
  const bool changed = before != nullptr && before->map != layout.map;
  on_demand_ = finder_.on_demand().missing > 0;
  layout_.store(std::make_shared<const Layout>(std::move(layout)));
  if (changed) {
    callbacks_.changed();
  }
}

void LayoutKeeper::poll() {
  if (scanning_ || !poll_limit_.allows()) {
    return;
  }
  const auto info = domain_info(control_, domain_);
  if (info && (info->pages != load()->pages || refused_)) {
    schedule_scan({});
  }
}

/// Populating a page takes it from a pool that the guest counts on, unless there is enough for all.
std::size_t LayoutKeeper::spare_pages() const {
  const auto [missing, in_stock] = finder_.on_demand();
  return missing <= in_stock ? std::numeric_limits<std::size_t>::max() : in_stock / 2;
}

void LayoutKeeper::schedule_scan(Worker::Clock::duration delay) {
  if (scanning_.exchange(true)) {
    return;
  }
  worker_.post_after(
      delay, [lease = lease_.share()] { lease.with([](LayoutKeeper& keeper) { keeper.scan_some(); }); });
}

void LayoutKeeper::scan_some() {
  const auto until = Worker::Clock::now() + kAtATime;
  Result<bool> through = false;
  do {
    through = step();
  } while (through && !*through && Worker::Clock::now() < until);
  if (!through) {
    scan_.reset();
    log::debug("xen domain {}: cannot scan its memory: {}", domain_, through.error().message());
    callbacks_.failed();
  }
  scanning_ = false;
  if (through && !*through) {
    schedule_scan(kAtATime);
  }
}

/// Does one step. True when there is nothing left to do.
Result<bool> LayoutKeeper::step() {
  if (!scan_) {
    refused_ = false;
    if (kind_ == DomainKind::pv || finder_.on_demand().missing > 0) {
      return refresh().map([] { return true; });
    }
    return begin_scan(ScanDegree::pages);
  }
  auto through = scan_->scan.step();
  if (!through || !*through) {
    return through;
  }
  if (scan_->degree == ScanDegree::pages && count_of(scan_->scan.present()) < scan_->pages) {
    return begin_scan(ScanDegree::all); // some pages are elsewhere
  }
  auto layout = finder_.finish(scan_->scan.present(), scan_->pages, scan_->degree);
  if (!layout) {
    return tl::unexpected{std::move(layout.error())};
  }
  publish(std::move(*layout), scan_->begun);
  scan_.reset();
  return true;
}

Result<bool> LayoutKeeper::begin_scan(ScanDegree degree) {
  const std::uint64_t begun = ++scans_begun_;
  const auto info = domain_info(control_, domain_);
  if (!info) {
    return tl::unexpected{info.error()};
  }
  auto scan = finder_.begin(degree);
  if (!scan) {
    return tl::unexpected{std::move(scan.error())};
  }
  scan_.emplace(Scan{std::move(*scan), degree, info->pages, begun});
  return false;
}

} // namespace vmemfs::xen
