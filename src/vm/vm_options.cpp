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
       .help = "guest memory and registers may be written; off unless said",
       .example = "on"},
      {.name = "cache_ttl",
       .type = ParamType::duration,
       .help = "how old pages of a running VM may be; 0ms unless said, which is live",
       .example = "100ms",
       .range = {.max = kDay}},
      {.name = "owner",
       .type = ParamType::user,
       .help = "whose the VM's files are; who mounted, unless said",
       .example = "root"},
      {.name = "group",
       .type = ParamType::group,
       .help = "the group of the VM's files; of who mounted, unless said",
       .example = "root"},
      {.name = "mode",
       .type = ParamType::mode,
       .help = "who may read and write the VM's files; 0600 unless said. For others than who mounted the "
               "mount must have allow_other",
       .example = "0640",
       .range = {.max = kReadAndWrite}},
  };
  return kSpecs;
}

void set_options(const Params& said, VmOptions& options) {
  if (said.has("writable")) {
    options.writable = said.flag("writable");
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
