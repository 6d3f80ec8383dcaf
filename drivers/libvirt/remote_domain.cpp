#include "drivers/libvirt/remote_domain.h"

#include "core/text.h"
#include "util/log.h"
#include "util/worker.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::libvirt {
namespace {

double milliseconds_of(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>{time}.count();
}

} // namespace

RemoteDomain::RemoteDomain(std::shared_ptr<Domain> domain, std::shared_ptr<RemoteMap> map, bool passthrough,
                           std::string why_remote, const DriverContext& context)
    : domain_{std::move(domain)}, map_{std::move(map)}, passthrough_{passthrough},
      why_remote_{std::move(why_remote)}, worker_{context.worker},
      identity_{domain_->identity(run_key(domain_->connection(), domain_->run()))},
      lease_{std::make_shared<Lease>()},
      devices_{domain_->connection().subscribe(domain_->run(), [this](DomainNews news) {
        if (news == DomainNews::memory_changed) {
          refresh_later();
        }
      })} {
  lease_->driver = this;
}

RemoteDomain::~RemoteDomain() {
  devices_ = {};
  const std::scoped_lock lock{lease_->mutex};
  lease_->driver = nullptr;
}

Result<std::unique_ptr<RemoteDomain>> RemoteDomain::attach(std::unique_ptr<Domain> domain, bool passthrough,
                                                           std::string why_remote,
                                                           const DriverContext& context) {
  std::shared_ptr<Domain> shared{std::move(domain)};
  auto map = RemoteMap::open(shared, passthrough);
  if (!map) {
    return tl::unexpected{std::move(map.error())};
  }
  std::unique_ptr<RemoteDomain> driver{
      new RemoteDomain{std::move(shared), std::move(*map), passthrough, std::move(why_remote), context}};
  const auto cost = driver->peeker_.measure(*driver->memory_map());
  if (!cost) {
    return tl::unexpected{cost.error()};
  }
  driver->cost_ = *cost;
  return driver;
}

void RemoteDomain::read(std::span<ReadPiece> pieces) {
  if (!gone()) {
    peeker_.read(pieces, *memory_map());
    return;
  }
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure = ErrorKind::vm_gone;
  }
}

Result<void> RemoteDomain::refresh() {
  return map_->refresh().map([this](bool changed) {
    if (changed) {
      listener_.emit(VmEvent::layout_changed);
    }
  });
}

void RemoteDomain::follow_layout(bool missed) {
  if (missed && passthrough_ && miss_limit_.allows()) {
    refresh_later();
  }
}

void RemoteDomain::refresh_later() {
  worker_.post([lease = lease_] {
    const std::scoped_lock lock{lease->mutex};
    const auto refreshed = lease->driver != nullptr ? lease->driver->refresh() : Result<void>{};
    if (!refreshed) {
      log::warning("reading the memory layout anew: {}", refreshed.error().message());
    }
  });
}

AccessReport RemoteDomain::access() const {
  AccessReport report;
  report.map = map_->source();
  report.ram = fmt::format(
      "virDomainMemoryPeek over libvirt, as {}: {:.1f} ms a call and {:.3f} ms each 4 KiB, "
      "measured while attaching; up to {} KiB a call",
      why_remote_, milliseconds_of(cost_.call), milliseconds_of(cost_.page), Peeker::kMostOfACall >> 10U);
  report.registers = passthrough_ ? "read: HMP info registers through libvirt; set: not by this driver"
                                  : fmt::format("none: {}", kHowToConsent);
  const std::string uri = printable(domain_->connection().uri());
  report.run_control = fmt::format("libvirt: suspend and resume at {}", uri.empty() ? "its default" : uri);
  report.writes = "none: libvirt has no way to write guest memory";
  return report;
}

std::vector<ProbeResult> RemoteDomain::probe() const {
  const auto link = domain_->connection().link();
  return {{"driver", true, "libvirt for everything"},
          {"process", false, why_remote_},
          {"libvirt", link.has_value(), link ? "connected, and tells what happens" : link.error().message()}};
}

} // namespace vmemfs::libvirt
