// SPDX-License-Identifier: MIT
#include "drivers/libvirt/remote/remote_domain.h"

#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "drivers/libvirt/domain/domain_process.h"
#include "util/log.h"
#include "util/work_limit.h"
#include "util/worker.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::libvirt {
namespace {

double milliseconds_of(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>{time}.count();
}

/// The delay before a retry if libvirt could not be asked: an added DIMM is reported only once.
bool is_worth_another_try(ErrorKind kind) {
  return kind == ErrorKind::timed_out || kind == ErrorKind::busy || kind == ErrorKind::source_failed;
}

} // namespace

RemoteDomain::RemoteDomain(std::shared_ptr<Domain> domain, Options options, const DriverContext& context)
    : domain_{std::move(domain)}, options_{std::move(options)},
      map_{std::make_shared<RemoteMap>(domain_, options_.passthrough, options_.may_allocate)},
      worker_{context.worker},
      identity_{domain_->identity(domain_key(domain_->connection(), domain_->run()))},
      vcpus_{domain_, worker_, [this] { listener_.emit(VmEvent::vcpus_changed); }},
      devices_{domain_->connection().subscribe(domain_->run(), [this](DomainEvent event) {
        // A device may also have been added while there was no connection.
        if (event == DomainEvent::memory_changed || event == DomainEvent::state_unclear) {
          refresh_later();
        }
      })} {}

RemoteDomain::~RemoteDomain() {
  devices_ = {};
  lease_.end();
}

Result<std::unique_ptr<RemoteDomain>> RemoteDomain::attach(std::shared_ptr<Domain> domain, Options options,
                                                           const DriverContext& context) {
  std::unique_ptr<RemoteDomain> driver{new RemoteDomain{std::move(domain), std::move(options), context}};
  // Events are delivered from here on, so no change is missed.
  if (auto read = driver->map_->refresh(); !read) {
    return tl::unexpected{std::move(read.error())};
  }
  if (auto read = driver->vcpus_.refresh(); !read) {
    return tl::unexpected{std::move(read.error())};
  }
  const auto cost = driver->peeker_.measure(*driver->memory_map());
  if (!cost) {
    return tl::unexpected{cost.error()};
  }
  driver->cost_ = *cost;
  if (driver->options_.passthrough) {
    driver->registers_.find_architecture();
  }
  return driver;
}

void RemoteDomain::read(std::span<ReadPiece> pieces) {
  if (!gone()) {
    const WorkLimit limit{WorkLimit::Clock::now() + LimitedCalls::kOperation};
    peeker_.read(pieces, *memory_map());
  }
  if (!gone()) { // otherwise some of it may belong to the domain's next run
    return;
  }
  fail_pieces(pieces, ErrorKind::vm_gone);
}

Result<void> RemoteDomain::refresh() {
  return map_->refresh().and_then([this](bool changed) {
    if (changed) {
      listener_.emit(VmEvent::layout_changed);
    }
    return vcpus_.refresh();
  });
}

void RemoteDomain::poll_layout(bool missed) {
  if (missed && options_.passthrough && miss_limit_.allows()) {
    refresh_later();
  }
}

/// One at a time: a refresh may take long, and the threads of `worker` are shared with other VMs.
void RemoteDomain::refresh_later() {
  if (refreshes_wanted_.fetch_add(1) == 0) {
    post_refresh({});
  }
}

/// The lease is not held during a call of libvirt, so that ending the driver does not wait for it.
void RemoteDomain::post_refresh(std::chrono::milliseconds delay) {
  worker_.post_after(delay, [lease = lease_.share(), map = map_] {
    unsigned seen = 0;
    if (!lease.with([&](RemoteDomain& driver) { seen = driver.refreshes_wanted_; })) {
      return;
    }
    auto refreshed = map->refresh();
    lease.with([&](RemoteDomain& driver) { driver.note_refresh(std::move(refreshed), seen); });
  });
}

void RemoteDomain::note_refresh(Result<bool> refreshed, unsigned seen) {
  constexpr std::chrono::seconds kTryAgainAfter{2};
  std::string error = refreshed ? "" : refreshed.error().message();
  if (!error.empty() && error != refresh_error_) {
    log::warning("cannot refresh the memory layout: {}", error);
  }
  refresh_error_ = std::move(error);
  if (!refreshed && is_worth_another_try(refreshed.error().kind) && !gone()) {
    post_refresh(kTryAgainAfter);
    return;
  }
  if (refreshed && *refreshed) {
    listener_.emit(VmEvent::layout_changed);
  }
  if (!refreshes_wanted_.compare_exchange_strong(seen, 0)) {
    post_refresh({});
  }
}

AccessReport RemoteDomain::access() const {
  AccessReport report;
  report.map = map_->source();
  report.ram =
      fmt::format("virDomainMemoryPeek over libvirt, as {}: {:.1f} ms a call and {:.3f} ms each 4 KiB, "
                  "measured while attaching; up to {} KiB a call",
                  options_.why_remote, milliseconds_of(cost_.call), milliseconds_of(cost_.page),
                  peeker_.max_call_bytes() >> 10U);
  if (map_->reading_allocates()) {
    report.ram += "; QEMU allocates memory that the guest has not touched when it is read";
  }
  report.registers = options_.passthrough ? registers_.describe() : fmt::format("none: {}", kHowToConsent);
  report.run_control =
      fmt::format("libvirt: suspend and resume at {}", name_of_uri(domain_->connection().uri()));
  report.writes = "none: libvirt has no way to write guest memory";
  return report;
}

std::vector<ProbeResult> RemoteDomain::probe() const {
  const auto link = domain_->connection().link();
  return {{"driver", true, "libvirt for everything"},
          {"process", false, options_.why_remote},
          {"libvirt", link.has_value(), link ? "connected, and reports events" : link.error().message()}};
}

} // namespace vmemfs::libvirt
