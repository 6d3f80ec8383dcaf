// SPDX-License-Identifier: MIT
#include "fs/files/text/status_text.h"

#include "core/text.h"
#include "fs/files/control/control_command.h"

#include <fmt/format.h>

namespace vmemfs {

std::string state_name(Vm& vm) {
  if (vm.gone()) {
    return "gone";
  }
  if (vm.guest().frozen()) {
    return std::string{kSavedState};
  }
  if (!vm.run_state().available()) {
    return "unknown";
  }
  const auto status = vm.run_state().status();
  return status ? printable(status->detail) : fmt::format("unknown ({})", status.error().message());
}

std::string_view short_state(std::string_view state) {
  return state.starts_with(kUnknownState) ? kUnknownState : state;
}

std::string last_error_lines(const LastError& error) {
  if (error.text.empty()) {
    return "last_error none\n";
  }
  return fmt::format("last_error {}\nerror_time {}\n", error.text, utc_text(error.time, SecondDigits::three));
}

std::string no_cache_reason(Vm& vm) {
  if (!vm.cache().in_use()) {
    return {};
  }
  std::string reason = vm.cache().no_room_reason();
  return reason.empty() && vm.cache().settings().ttl.count() == 0 ? vm.run_state().no_cache_reason() : reason;
}

std::string status_text(Vm& vm) { return status_text(vm, state_name(vm)); }

std::string status_text(Vm& vm, std::string_view state) {
  std::string text = fmt::format("state {}\n", state);
  const auto add = [&text](std::string_view key, const auto& value) {
    text += fmt::format("{} {}\n", key, value);
  };
  const RunStateTracker::Info pause = vm.run_state().info();
  add("paused_by", to_string(pause.by));
  add("driver", vm.guest().identity().driver);
  add("epoch", vm.cache().epoch());
  const CacheSettings cache = vm.cache().settings();
  const PageCacheStats stats = vm.cache().stats();
  constexpr std::size_t kMaxReason = 200;
  const std::string no_cache = no_cache_reason(vm);
  const KernelCache::State kernel = vm.guest().kernel_cache_state();
  add("cache", fmt::format("{} in_use={} used={} limit={} ttl={}ms kernel={} kernel_in_use={}{}",
                           to_string(cache.mode), vm.cache().in_use() && no_cache.empty() ? "yes" : "no",
                           stats.used_bytes, stats.limit_bytes, cache.ttl.count(), to_string(cache.kernel),
                           kernel.use == KernelCacheUse::in_use ? "yes" : "no",
                           no_cache.empty() ? "" : fmt::format(" ({})", printable(no_cache, kMaxReason))));
  if (!kernel.reason.empty() && kernel.use != KernelCacheUse::off) { // that is what the user wants
    add("kernel_not_in_use_because", kernel.reason);
  }
  add("write", vm.write_gate().writable() ? "on" : "off");
  add("holds", pause.holds);
  add("keep", pause.keep ? "yes" : "no");
  if (pause.ends_in) {
    add("pause_ends_in", fmt::format("{}ms", pause.ends_in->count()));
  }
  return text + last_error_lines(vm.events().last_error()) +
         vm_command_lines({.run_control = vm.run_state().available(), .writes = vm.write_gate().available()});
}

} // namespace vmemfs
