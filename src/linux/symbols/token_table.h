// SPDX-License-Identifier: MIT
// The token table of kallsyms, which is the one that can be recognized.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/symbols/image_range.h"
#include "linux/symbols/kallsyms_window.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace vmemfs::kallsyms {

inline constexpr std::size_t kTokens = 256;

struct TokenTable {
  std::uint64_t begin;
  std::uint64_t index_end;                      ///< of token_index, which follows
  std::array<std::string_view, kTokens> tokens; ///< in the window
};

/// Calls `found` with the address of each place in the image that has the tokens of all digits in a row,
/// until it returns true, or the limit of the calling thread's work is reached; bounded.
void for_each_digits(KernelMemory& memory, KernelImageRange image,
                     const std::function<bool(std::uint64_t)>& found);

/// The table whose token '0' is at `digits`; nullopt: there is none, or token_index does not fit.
[[nodiscard]] std::optional<TokenTable> token_table_at(const Window& window, std::uint64_t digits);

} // namespace vmemfs::kallsyms
