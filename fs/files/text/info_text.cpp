// SPDX-License-Identifier: MIT
#include "fs/files/text/info_text.h"

#include "core/text.h"
#include "fs/files/text/status_text.h"
#include "vm/views/block_layout.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace vmemfs {
namespace {

using Json = nlohmann::ordered_json;

Json memory_json(const MemoryMap& map) {
  return {{"size", map.ram_end().value()}, {"ram", map.ram_bytes()}, {"regions", map.regions().size()}};
}

Json access_json(const AccessReport& access) {
  return {{"map", access.map},
          {"ram", access.ram},
          {"registers", access.registers},
          {"run_control", access.run_control},
          {"writes", access.writes}};
}

Json cache_json(Vm& vm) {
  const CacheSettings settings = vm.cache().settings();
  const PageCacheStats stats = vm.cache().stats();
  const CacheCounts counts = vm.cache().counts();
  const auto delay = vm.run_state().state_delay();
  constexpr std::size_t kMaxReason = 200;
  const std::string no_cache = no_cache_reason(vm);
  const KernelCache::State kernel = vm.guest().kernel_cache_state();
  Json json{{"policy", to_string(settings.mode)},
            {"in_use", vm.cache().in_use() && no_cache.empty()},
            {"kernel", to_string(settings.kernel)},
            {"kernel_in_use", kernel.use == KernelCacheUse::in_use},
            {"kernel_not_in_use_because", kernel.reason.empty() ? Json(nullptr) : Json(kernel.reason)},
            {"ttl_ms", settings.ttl.count()},
            {"used", stats.used_bytes},
            {"limit", stats.limit_bytes},
            {"hits", counts.hits},
            {"misses", counts.misses},
            {"merged", counts.merged},
            {"read_ahead", counts.prefetched},
            {"evictions", stats.evictions},
            // How long cached pages may outlive a resume by another process; null: no page is cached.
            {"state_delay_ms", delay ? Json(delay->count()) : Json(nullptr)}};
  if (!no_cache.empty()) {
    json["not_in_use_because"] = printable(no_cache, kMaxReason);
  }
  return json;
}

Json probe_json(const std::vector<ProbeResult>& results) {
  Json list = Json::array();
  for (const ProbeResult& result : results) {
    list.push_back({{"what", result.what}, {"ok", result.ok}, {"detail", result.detail}});
  }
  return list;
}

/// How each file of `ram` is served; null: it was not opened yet.
Json ram_files_json(LiveGuest& guest) {
  Json files = Json::object();
  for (const std::string& name : block_names(*guest.memory().map())) {
    if (!name.empty()) {
      files[name] = nullptr;
    }
  }
  for (auto& [name, text] : guest.block_services().texts()) {
    if (files.contains(name)) {
      files[name] = text;
    }
  }
  return files;
}

Json bad_pages_json(const BadPages& pages) {
  Json list = Json::array();
  for (const Gfn page : pages.listed()) {
    list.push_back(fmt::format("{:#x}", page.gpa().value()));
  }
  return list;
}

} // namespace

std::string info_text(Vm& vm) { return info_text(vm, state_name(vm)); }

std::string info_text(Vm& vm, std::string_view state) {
  LiveGuest& guest = vm.guest();
  const VmIdentity& identity = guest.identity();
  const VcpuSet vcpus = guest.vcpus();
  const Json info{
      {"name", identity.name},
      {"uuid", identity.uuid},
      {"driver", identity.driver},
      {"state", state},
      {"epoch", vm.cache().epoch()},
      {"vcpus", vcpus.size()},
      {"vcpu_list", to_string(vcpus)},
      {"memory", memory_json(*guest.memory().map())},
      {"access", access_json(guest.access())},
      {"ram_files", ram_files_json(guest)},
      {"probe", probe_json(guest.probe())},
      {"cache", cache_json(vm)},
      {"writable", vm.write_gate().writable()},
      {"bad_pages", bad_pages_json(guest.memory().bad_pages())},
      {"bad_page_reads", guest.memory().bad_pages().times_padded()},
  };
  constexpr int kIndent = 2;
  // Names come from outside and may be invalid UTF-8.
  return info.dump(kIndent, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace vmemfs
