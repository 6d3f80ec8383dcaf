// SPDX-License-Identifier: MIT
// SHA-1 (FIPS 180-4), with which a KVMI tool proves that it has the secret. For nothing else: it is broken as
// a signature.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace vmemfs::kvmi {

[[nodiscard]] std::array<std::byte, 20> sha1(std::string_view text);

} // namespace vmemfs::kvmi
