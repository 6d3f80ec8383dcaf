// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/qmp_values.h"

#include <nlohmann/json.hpp>

namespace vmemfs {

using nlohmann::json;

const json* qmp_member(const json& object, const char* key) {
  const auto found = object.find(key); // end() also if it is not an object
  return found == object.end() ? nullptr : &*found;
}

std::optional<std::string> qmp_text(const json& object, const char* key) {
  const json* value = qmp_member(object, key);
  return value != nullptr && value->is_string() ? std::optional{value->get<std::string>()} : std::nullopt;
}

std::optional<std::uint64_t> qmp_number(const json& object, const char* key) {
  const json* value = qmp_member(object, key);
  return value != nullptr && value->is_number_unsigned() ? std::optional{value->get<std::uint64_t>()}
                                                         : std::nullopt;
}

} // namespace vmemfs
