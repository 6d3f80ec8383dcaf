// SPDX-License-Identifier: MIT
#include "fs/files/text/status_text.h"

#include "core/text.h"
#include "fs/files/control_command.h"

#include <fmt/format.h>

namespace vmemfs {

std::string state_name(Vm& vm) {
  if (vm.gone()) {
    return "gone";
  }
  if (vm.driver().run_control() == nullptr) {
    return "unknown";
  }
  const auto status = vm.run_status();
  return status ? printable(status->detail) : fmt::format("unknown ({})", status.error().message());
}

std::string status_text(Vm& vm) {
  std::string text = fmt::format("state {}\n", state_name(vm));
  const auto add = [&text](std::string_view key, const auto& value) {
    text += fmt::format("{} {}\n", key, value);
  };
  const RunStateTracker::Info pause = vm.pause_info();
  add("paused_by", to_string(pause.by));
  add("driver", vm.driver().identity().driver);
  add("epoch", vm.epoch());
  const CacheSettings cache = vm.cache_settings();
  const PageCacheStats stats = vm.cache_stats();
  add("cache",
      fmt::format("{} in_use={} used={} limit={} ttl={}ms", to_string(cache.mode),
                  vm.cache_in_use() ? "yes" : "no", stats.used_bytes, stats.limit_bytes, cache.ttl.count()));
  add("write", vm.writable() ? "on" : "off");
  add("holds", pause.holds);
  add("keep", pause.keep ? "yes" : "no");
  if (pause.ends_in) {
    add("pause_ends_in", fmt::format("{}ms", pause.ends_in->count()));
  }
  const std::string last_error = vm.last_error();
  add("last_error", last_error.empty() ? "none" : last_error);
  const bool writes = vm.driver().memory_writer() != nullptr || vm.driver().register_writer() != nullptr;
  return text + vm_command_lines({.run_control = vm.driver().run_control() != nullptr, .writes = writes});
}

} // namespace vmemfs
