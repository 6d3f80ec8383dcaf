// SPDX-License-Identifier: MIT
#include "drivers/libvirt/remote/remote_map.h"

#include "drivers/libvirt/domain/domain_xml.h"
#include "drivers/libvirt/domain/monitor_registers.h"
#include "drivers/qemu_protocol/main_memory.h"
#include "drivers/qemu_protocol/mtree.h"
#include "util/work_limit.h"

#include <fmt/format.h>
#include <string>
#include <utility>

namespace vmemfs::libvirt {

Result<bool> RemoteMap::refresh() {
  const WorkLimit limit{WorkLimit::Clock::now() + LimitedCalls::kOperation};
  const std::uint64_t number = ++refreshes_;
  auto fresh = read();
  if (!fresh) {
    return tl::unexpected{std::move(fresh.error())};
  }
  const MutexLock lock{mutex_};
  if (number < newest_) {
    return false; // what another one, begun later, has found is newer
  }
  newest_ = number;
  const auto before = map_.load();
  const bool changed = before != nullptr && *before != *fresh;
  map_.store(std::make_shared<const MemoryMap>(std::move(*fresh)));
  return changed;
}

Result<MemoryMap> RemoteMap::read() {
  const auto description =
      domain_->xml().and_then([](const std::string& text) { return parse_domain_xml(text); });
  if (!description) {
    return tl::unexpected{description.error()};
  }
  const bool allocates = !description->reading_allocates.empty();
  if (allocates && !may_allocate_) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("its memory is {}: QEMU would allocate what the guest has not touched when it "
                            "is read through libvirt; memory=peek says that this is all right",
                            description->reading_allocates));
  }
  reading_allocates_ = allocates;
  if (passthrough_) {
    return domain_->human_monitor("info mtree -f")
        .and_then([](const std::string& text) { return parse_mtree(text); })
        .and_then(main_memory_of);
  }
  auto map = map_by_description(*description);
  if (!map) {
    map.error().text += fmt::format("; {}", kHowToConsent);
  }
  return map;
}

std::string RemoteMap::source() const {
  if (passthrough_) {
    return "QEMU's info mtree -f through libvirt, updated on refresh and when a device is added or removed; "
           "memory behind PCI BARs is left out, as no event reports when the guest moves it";
  }
  return fmt::format("computed from machine type and memory size in the domain's description; QEMU was not "
                     "asked. Main memory only, without the range from 640 KiB to 1 MiB; {}",
                     kHowToConsent);
}

} // namespace vmemfs::libvirt
