// SPDX-License-Identifier: MIT
#include "fs/save/guest/guest_info.h"

#include <nlohmann/json.hpp>

namespace vmemfs {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::uint64_t number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

/// The probe of a driver whose attaching stops the guest.
std::string before_attaching(const Json& info) {
  const auto probes = info.find("probe");
  if (probes == info.end() || !probes->is_array()) {
    return {};
  }
  for (const Json& probe : *probes) {
    if (probe.is_object() && text_of(probe, "what") == "before connecting") {
      return text_of(probe, "detail");
    }
  }
  return {};
}

} // namespace

Result<GuestInfo> parse_guest_info(std::string_view json) {
  constexpr int kMaxDepth = 64;
  bool deep = false;
  const auto keep = [&deep](int depth, Json::parse_event_t /*event*/, const Json& /*value*/) {
    deep = deep || depth > kMaxDepth;
    return !deep;
  };
  const Json object = Json::parse(json, keep, false);
  if (deep || !object.is_object() || text_of(object, "state").empty()) {
    return fail(
        ErrorKind::invalid, "save",
        "the file 'info' of the VM is not that of this version of vmemfs; use the vmemfs that mounted");
  }
  GuestInfo info{.name = text_of(object, "name"),
                 .uuid = text_of(object, "uuid"),
                 .driver = text_of(object, "driver"),
                 .state = text_of(object, "state"),
                 .before_attaching = before_attaching(object),
                 .epoch = number_of(object, "epoch"),
                 .refused_reads = number_of(object, "bad_page_reads")};
  if (const auto pages = object.find("bad_pages"); pages != object.end() && pages->is_array()) {
    for (const Json& page : *pages) {
      if (page.is_string()) {
        info.refused_pages.push_back(page.get<std::string>());
      }
    }
  }
  return info;
}

} // namespace vmemfs
