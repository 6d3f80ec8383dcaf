// SPDX-License-Identifier: MIT
#include "vm/cache/kernel_cache.h"

#include "core/text.h"
#include "util/log.h"
#include "vm/cache/available_memory.h"

#include <algorithm>
#include <fmt/format.h>

namespace vmemfs {
namespace {

/// By default the kernel's pages of a guest may take that part of the host's available memory.
constexpr std::uint64_t kShare = 2;

constexpr std::uint64_t mebibytes(std::uint64_t bytes) { return bytes >> 20U; }

} // namespace

/// Who paused the guest resumes it, and a resume by another process is noticed only some time after it.
/// For every read of an open file: nothing is asked that epoch() does not need.
KernelCacheUse KernelCache::check(std::uint64_t& epoch) {
  const CacheMode mode = context_.cache.kernel_mode();
  if (mode == CacheMode::off) {
    return KernelCacheUse::off;
  }
  if (context_.writes.writable()) {
    return KernelCacheUse::writes_on;
  }
  if (mode != CacheMode::on && !context_.driver.frozen()) {
    switch (context_.run_state.info().by) {
    case PausedBy::us: break;
    case PausedBy::nobody: return KernelCacheUse::not_paused;
    case PausedBy::other: return KernelCacheUse::paused_by_others;
    }
  }
  const Epoch::Value now = context_.cache.poll_epoch();
  epoch = now.number;
  return now.stable ? KernelCacheUse::in_use : KernelCacheUse::unclear;
}

std::optional<std::uint64_t> KernelCache::epoch() {
  std::uint64_t epoch = 0;
  return check(epoch) == KernelCacheUse::in_use ? std::optional{epoch} : std::nullopt;
}

/// The reason behind what check() has found: the one that would be left after its remedy comes first.
KernelCacheUse KernelCache::examine(KernelCacheUse refused) const {
  if (!context_.run_state.available()) {
    return KernelCacheUse::cannot_pause;
  }
  if (!context_.run_state.state_delay()) {
    return KernelCacheUse::unreported;
  }
  if (context_.run_state.info().by == PausedBy::nobody) {
    return KernelCacheUse::not_paused;
  }
  return context_.run_state.memory_changes() ? KernelCacheUse::memory_changes : refused;
}

bool KernelCache::has_whole_pages() const {
  const auto map = memory_.map();
  return std::ranges::all_of(map->regions(), [](const Region& region) {
    return region.range.begin.page_offset() == 0 && region.range.end.page_offset() == 0;
  });
}

KernelCache::Decision KernelCache::try_to_decide() {
  if (context_.attachment.gone()) {
    return {KernelCacheUse::vm_gone};
  }
  std::uint64_t epoch = 0;
  switch (const KernelCacheUse use = check(epoch)) {
  case KernelCacheUse::in_use: break;
  case KernelCacheUse::not_paused:
  case KernelCacheUse::paused_by_others:
  case KernelCacheUse::unclear: return {examine(use)};
  case KernelCacheUse::vm_gone:
  case KernelCacheUse::off:
  case KernelCacheUse::writes_on:
  case KernelCacheUse::cannot_pause:
  case KernelCacheUse::unreported:
  case KernelCacheUse::memory_changes:
  case KernelCacheUse::too_large:
  case KernelCacheUse::uneven_ranges: return {use};
  }
  if (context_.cache.kernel_mode() != CacheMode::on) {
    const std::uint64_t held = memory_.held_bytes();
    const std::uint64_t available = available_memory();
    if (held > available / kShare) {
      return {KernelCacheUse::too_large, held, available};
    }
  }
  return {has_whole_pages() ? KernelCacheUse::in_use : KernelCacheUse::uneven_ranges};
}

KernelCache::Decision KernelCache::decide() {
  const Decision decision = try_to_decide();
  if (logged_.exchange(decision.use) != decision.use) {
    if (decision.use == KernelCacheUse::in_use) {
      log::debug("{}: memory that is opened now is read through the kernel's page cache",
                 context_.events.vm());
    } else if (log::enabled(log::Level::debug)) {
      log::debug("{}: memory that is opened now is not read through the kernel's page cache: {}",
                 context_.events.vm(), reason(decision));
    }
  }
  return decision;
}

KernelCache::State KernelCache::state() {
  const Decision decision = decide();
  return {decision.use, reason(decision)};
}

std::string KernelCache::reason(const Decision& decision) const {
  constexpr std::size_t kMaxFromDriver = 300;
  switch (decision.use) {
  case KernelCacheUse::in_use: return {};
  case KernelCacheUse::vm_gone: return "the VM has ended";
  case KernelCacheUse::off:
    return "it is off by `cache kernel=off`; `echo cache kernel=auto > control` allows it";
  case KernelCacheUse::writes_on: return "writes are on; `echo write off > control` turns them off";
  case KernelCacheUse::cannot_pause:
  case KernelCacheUse::unreported: return printable(context_.run_state.no_cache_reason(), kMaxFromDriver);
  case KernelCacheUse::not_paused:
    return "the guest is not paused, as far as is known; `echo pause > control` pauses it";
  case KernelCacheUse::paused_by_others:
    return "somebody else has paused the guest and may resume it; `echo cache kernel=on > control` allows it "
           "all the same";
  case KernelCacheUse::memory_changes:
    return "the guest's memory changes although it is paused, as that of the target of a migration; wait "
           "until that has ended";
  case KernelCacheUse::unclear: return "whether the guest is still paused is being checked; try again";
  case KernelCacheUse::too_large:
    return fmt::format("the host holds {} MiB of the guest's memory, more than half of its available {} MiB; "
                       "`echo cache kernel=on > control` allows it all the same",
                       mebibytes(decision.held), mebibytes(decision.available));
  case KernelCacheUse::uneven_ranges:
    return "a range of memory begins or ends within a page, so mem, mem_padded and ram/ are read without it; "
           "read core or mem.lime";
  }
  return {};
}

} // namespace vmemfs
