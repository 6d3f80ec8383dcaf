// SPDX-License-Identifier: MIT
#include "vm/vm_options.h"

#include <chrono>
#include <vector>

namespace vmemfs {

std::span<const ParamSpec> vm_option_specs() {
  constexpr std::uint64_t kDay = std::chrono::milliseconds{std::chrono::hours{24}}.count();
  constexpr std::uint64_t kReadAndWrite = 0666;
  static const std::vector<ParamSpec> kSpecs{
      {.name = "writable",
       .type = ParamType::flag,
       .help = "allows writes to guest memory and registers; default off",
       .example = "on"},
      {.name = "cache_kernel",
       .type = ParamType::choice,
       .help = "whether the kernel may keep memory of the VM while it is paused; default auto",
       .example = "off",
       .choices = {"auto", "on", "off"}},
      {.name = "cache_ttl",
       .type = ParamType::duration,
       .help = "max age of cached pages of a running VM; default 0ms, which reads live",
       .example = "100ms",
       .range = {.max = kDay}},
      {.name = "owner",
       .type = ParamType::user,
       .help = "owner of the VM's files; default: the user who mounted",
       .example = "root"},
      {.name = "group",
       .type = ParamType::group,
       .help = "group of the VM's files; default: the group of the user who mounted",
       .example = "root"},
      {.name = "mode",
       .type = ParamType::mode,
       .help = "permissions of the VM's files; default 0600. For other users than the one who mounted, the "
               "mount needs allow_other",
       .example = "0640",
       .range = {.max = kReadAndWrite}},
  };
  return kSpecs;
}

void set_options(const Params& said, VmOptions& options) {
  if (said.has("writable")) {
    options.writable = said.flag("writable");
  }
  if (said.has("cache_kernel")) {
    options.cache_kernel = cache_mode(said.text("cache_kernel")).value_or(CacheMode::automatic);
  }
  if (said.has("cache_ttl")) {
    options.cache_ttl = said.duration("cache_ttl");
  }
  if (said.has("owner")) {
    options.rights.owner = said.user("owner");
  }
  if (said.has("group")) {
    options.rights.group = said.group("group");
  }
  if (said.has("mode")) {
    options.rights.mode = said.mode("mode");
  }
}

} // namespace vmemfs
