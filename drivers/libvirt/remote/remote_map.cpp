// SPDX-License-Identifier: MIT
#include "drivers/libvirt/remote/remote_map.h"

#include "drivers/libvirt/domain/domain_xml.h"
#include "drivers/libvirt/domain/monitor_registers.h"
#include "drivers/qemu_protocol/mtree.h"
#include "util/work_limit.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::libvirt {
namespace {

/// Main memory by the names that libvirt gives it. Memory behind PCI BARs is left out: the guest can move it
/// without any event, and a device's registers, which must not be read, may then take its old place.
bool is_main(const MtreeRange& range, std::string_view name_at_zero) {
  return range.type == MtreeType::nv_ram || range.name == name_at_zero || range.name == "pc.ram" ||
         range.name.starts_with("ram-node") || range.name.starts_with("memdimm");
}

bool is_rom(const MtreeRange& range) { return range.type == MtreeType::rom || range.type == MtreeType::romd; }

Result<MemoryMap> map_of(const std::vector<MtreeRange>& ranges) {
  const auto at_zero =
      std::ranges::find(ranges, Gpa{0}, [](const MtreeRange& range) { return range.range.begin; });
  const std::string_view name_at_zero = at_zero != ranges.end() ? std::string_view{at_zero->name} : "";
  std::vector<Region> regions;
  std::vector<std::string> blocks;
  std::map<std::string_view, std::uint32_t> indices;
  for (const MtreeRange& range : ranges) {
    const bool memory = range.type == MtreeType::ram || range.type == MtreeType::nv_ram;
    if (!is_rom(range) && !(memory && is_main(range, name_at_zero))) {
      continue;
    }
    const auto [entry, added] = indices.emplace(range.name, static_cast<std::uint32_t>(blocks.size()));
    if (added) {
      blocks.push_back(range.name);
    }
    regions.push_back({range.range, is_rom(range) ? RegionKind::rom : RegionKind::ram, !is_rom(range),
                       entry->second, range.offset});
  }
  return MemoryMap::build(std::move(regions), std::move(blocks));
}

} // namespace

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
        .and_then(map_of);
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
