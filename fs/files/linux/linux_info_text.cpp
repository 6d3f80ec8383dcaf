// SPDX-License-Identifier: MIT
#include "fs/files/linux/linux_info_text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <string_view>

namespace vmemfs {
namespace {

using Json = nlohmann::ordered_json;

std::string hex(std::uint64_t value) { return fmt::format("{:#018x}", value); }

Json hex_or_null(const std::optional<std::uint64_t>& value) {
  return value ? Json(hex(*value)) : Json(nullptr);
}

Json page_tables_json(const KernelPaging& paging) {
  return {{"root", hex(root_of(paging).value())}, {"levels", levels_of(paging)}};
}

Json image_json(const LinuxKernel& kernel) {
  return {{"address", hex(kernel.image_address)},
          {"physical", hex(kernel.image.begin.value())},
          {"size", kernel.image.size()}};
}

template <typename T> void add_missing(Json& missing, std::string_view what, const Result<T>& part) {
  if (!part) {
    missing.push_back({{"what", what}, {"why", part.error().text}});
  }
}

Json missing_json(KernelFacts& facts) {
  Json missing = Json::array();
  const auto symbols = facts.symbols();
  add_missing(missing, "symbols", symbols);
  if (symbols) { // without, the others are missing for the same reason
    add_missing(missing, "banner", facts.banner());
    add_missing(missing, "types", facts.types());
    add_missing(missing, "processes and mounts", facts.idle_task());
    add_missing(missing, "symbols of data; so no modules, vmlinux and kernel.json", facts.has_data_symbols());
    if (const auto failure = facts.isf_failure()) { // it is made only when it is opened
      missing.push_back({{"what", "kernel.json"}, {"why", failure->text}});
    }
  }
  return missing;
}

std::string_view to_text(KernelProof proof) {
  switch (proof) {
  case KernelProof::structures:
    return "by the kernel's own structures, as no registers show its page tables: its vmcoreinfo_data points "
           "to VMCOREINFO, its page tables map its image where VMCOREINFO says that it is, and its list of "
           "processes closes";
  case KernelProof::vmcoreinfo:
    return "by VMCOREINFO alone, as no registers show its page tables: the kernel's vmcoreinfo_data points "
           "to it, and its page tables map its image where it says; its list of processes cannot be checked "
           "without types";
  case KernelProof::vcpu: break;
  }
  return "the page tables of a vCPU map the kernel's image where VMCOREINFO says that it is";
}

Json json_of(KernelFacts& facts) {
  const LinuxKernel& kernel = facts.kernel();
  const auto symbols = facts.symbols();
  const auto types = facts.types();
  return {{"found", true},
          {"release", kernel.info.release},
          {"build_id", kernel.info.build_id},
          {"architecture", kernel.architecture->name()},
          {"text", hex_or_null(kernel.info.stext)},
          {"kaslr_offset", hex_or_null(kernel.info.kaslr_offset)},
          {"page_tables", page_tables_json(kernel.paging)},
          {"image", image_json(kernel)},
          {"direct_map", hex_or_null(kernel.direct_map)},
          {"vmcoreinfo", hex(kernel.page.value())},
          {"proof", to_text(kernel.proof)},
          {"symbols", symbols ? (*symbols)->all().size() : 0},
          {"types", types ? (*types)->end() - 1 : 0},
          {"missing", missing_json(facts)}};
}

} // namespace

std::string linux_info_text(LinuxGuest& guest) {
  const auto facts = guest.kernel();
  const Json info = facts ? json_of(**facts) : Json{{"found", false}, {"reason", facts.error().text}};
  guest.note_use();
  constexpr int kIndent = 2;
  // Names come from the guest and may be invalid UTF-8.
  return info.dump(kIndent, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace vmemfs
