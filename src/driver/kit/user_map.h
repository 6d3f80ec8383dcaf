// SPDX-License-Identifier: MIT
// Memory map that the user gives, for a source that does not know its own: the parameter maps= of drivers.
//
// Form: BEGIN-END[:KIND], several joined by "+" or ",", such as 0-640K+1M-128M+0xfffc0000-4G:rom; KIND is ram
// (the default), rom or device. END is excluded, as in the file `maps`. Sizes and addresses are numbers, in
// hex with 0x, or with K, M, G or T. In a list of parameters, text with commas takes quotes.
//
// A pure function, thread-safe.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"

#include <string_view>

namespace vmemfs {

/// The offset in the block, of which such a source knows nothing, is the address. invalid, from `origin`: the
/// text shows the form.
[[nodiscard]] Result<MemoryMap> parse_user_map(std::string_view text, std::string_view origin);

} // namespace vmemfs
