// SPDX-License-Identifier: MIT
// Attaching, and what is found out then.
#include "core/text.h"
#include "driver/kit/user_map.h"
#include "drivers/vbox/guest/memory_search.h"
#include "drivers/vbox/vbox_driver.h"
#include "util/log.h"
#include "util/users/accounts.h"

#include <chrono>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
/// Of all reads that look for memory, each of which has the time limit of a request besides.
constexpr int kSearchTimeouts = 3;

VmIdentity identity_of(const FdpLink& link) {
  const SharedObject& object = link.object();
  return {.name = object.name(),
          .uuid = "",
          .driver = std::string{kOrigin},
          .key = fmt::format("vbox:{}:{}", object.id().device, object.id().inode),
          .architecture = "x86_64"};
}

} // namespace

VboxDriver::VboxDriver(Options options, std::unique_ptr<FdpLink> link, const GuestFacts& facts,
                       const DriverContext& context)
    : options_{std::move(options)}, link_{std::move(link)}, control_{*link_, listener_, facts.state},
      identity_{identity_of(*link_)}, worker_{context.worker} {
  link_->set_on_end([this] { listener_.emit(VmEvent::gone); });
  vcpus_.store(std::make_shared<const VcpuSet>(VcpuSet::first(facts.vcpus)));
}

VboxDriver::~VboxDriver() {
  watch_.end();
  lease_.end();
}

Result<std::unique_ptr<Driver>> VboxDriver::attach(Options options, const DriverContext& context) {
  auto link = FdpLink::open(options.name, options.timeout);
  if (!link) {
    return tl::unexpected{std::move(link.error())};
  }
  const auto facts = (*link)->greet(Clock::now() + options.timeout);
  if (!facts) {
    return tl::unexpected{facts.error()};
  }
  std::unique_ptr<VboxDriver> driver{new VboxDriver{std::move(options), std::move(*link), *facts, context}};
  const uid_t owner = driver->link_->object().owner();
  driver->note("shared memory", fmt::format("of user {}{}", owner,
                                            is_own_or_root(owner) ? "" : ", who decides what is in it"));
  driver->note("VirtualBox",
               fmt::format("answers: {} vCPUs, {} MiB of memory, {}", facts->vcpus, facts->ram_bytes >> 20U,
                           facts->state.paused ? "paused" : "running"));
  if (auto started = driver->start(); !started) {
    return tl::unexpected{std::move(started.error())};
  }
  driver->watch_ = context.watcher.watch_every_second([raw = driver.get()] { raw->poll_every_second(); });
  return driver;
}

Result<void> VboxDriver::start() {
  auto map = make_map();
  if (!map) {
    return tl::unexpected{std::move(map.error())};
  }
  map_.store(std::make_shared<const MemoryMap>(std::move(*map)));
  auto cost = reads_until(Clock::now() + options_.timeout).measure(*memory_map());
  if (!cost) {
    cost.error().text += "; check that the ranges of the map are memory";
    return tl::unexpected{std::move(cost.error())};
  }
  cost_ = *cost;
  return {};
}

Result<MemoryMap> VboxDriver::make_map() {
  if (!options_.maps.empty()) {
    return parse_user_map(options_.maps, kOrigin);
  }
  const auto deadline = Clock::now() + kSearchTimeouts * options_.timeout;
  const auto ram_bytes = link_->number(simple_request(Opcode::memory_size, 8), deadline);
  if (!ram_bytes) {
    return tl::unexpected{ram_bytes.error()};
  }
  return find_memory(*ram_bytes, [&](Gpa page) -> Result<bool> {
    const auto read = link_->read(page, kPageSize, deadline, [](std::span<const std::byte>) {});
    if (!read && read.error().kind != ErrorKind::bad_page) {
      return tl::unexpected{read.error()};
    }
    return read.has_value();
  });
}

void VboxDriver::note(std::string what, std::string detail) {
  log::debug("vbox: {}: {}: {}", printable(options_.name), what, detail);
  probe_.push_back({std::move(what), true, std::move(detail)});
}

} // namespace vmemfs::vbox
