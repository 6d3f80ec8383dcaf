// SPDX-License-Identifier: MIT
// Values in the answers of a QMP monitor, which are not trusted: what is missing or of another type is none.
//
// Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace vmemfs {

/// Null also if `object` is no object.
[[nodiscard]] const nlohmann::json* qmp_member(const nlohmann::json& object, const char* key);
[[nodiscard]] std::optional<std::string> qmp_text(const nlohmann::json& object, const char* key);
[[nodiscard]] std::optional<std::uint64_t> qmp_number(const nlohmann::json& object, const char* key);

} // namespace vmemfs
