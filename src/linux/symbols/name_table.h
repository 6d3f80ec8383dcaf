// SPDX-License-Identifier: MIT
// The names of kallsyms, found from its token table backwards.
#pragma once

#include "linux/symbols/kallsyms_window.h"
#include "linux/symbols/token_table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::kallsyms {

/// Max number of symbols; the largest kernels have a third.
inline constexpr std::uint32_t kMaxSymbols = 600'000;

struct NameTable {
  std::uint64_t count_address; ///< of num_syms
  struct Name {
    char type;
    std::uint32_t end; ///< in `text`
  };
  std::vector<Name> names;
  std::string text; ///< all names, without their types
};

/// nullopt: no names before these tokens agree with markers.
[[nodiscard]] std::optional<NameTable> find_names(const Window& window, const TokenTable& tokens);

} // namespace vmemfs::kallsyms
