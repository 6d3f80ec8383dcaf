// SPDX-License-Identifier: MIT
#include "linux/modules/symbol_layout.h"

#include "linux/structures/member_offsets.h"

#include <algorithm>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t kInt = 4;

/// Of the name in /proc/kallsyms' own iterator: 128 before 6.1, then 512.
std::uint64_t name_bytes(const btf::Types& types) {
  constexpr std::uint64_t kUsual = 512;
  constexpr std::uint64_t kMax = 4096;
  const auto name = types.field("kallsym_iter", "name");
  return name && name->size > 1 ? std::min(name->size, kMax) : kUsual;
}

} // namespace

Result<ModuleSymbolLayout> module_symbol_layout(const btf::Types& types) {
  auto module = module_layout(types);
  if (!module) {
    return tl::unexpected{std::move(module.error())};
  }
  MemberOffsets offsets{types};
  const bool relative = offsets.find("kernel_symbol", "value_offset", kInt).has_value();
  ModuleSymbolLayout layout{.module = std::move(*module),
                            .kallsyms = offsets.offset("module", "kallsyms"),
                            .exports = offsets.offset("module", "syms"),
                            .export_count = offsets.offset("module", "num_syms", kInt),
                            .tables_size = offsets.size("mod_kallsyms"),
                            .symbols = offsets.offset("mod_kallsyms", "symtab"),
                            .symbol_count = offsets.offset("mod_kallsyms", "num_symtab", kInt),
                            .names = offsets.offset("mod_kallsyms", "strtab"),
                            .letters = offsets.find("mod_kallsyms", "typetab"),
                            .export_size = offsets.size("kernel_symbol"),
                            .export_value = relative ? offsets.offset("kernel_symbol", "value_offset", kInt)
                                                     : offsets.offset("kernel_symbol", "value"),
                            .export_name = relative ? offsets.offset("kernel_symbol", "name_offset", kInt)
                                                    : offsets.offset("kernel_symbol", "name"),
                            .relative = relative,
                            .name_bytes = name_bytes(types)};
  if (auto checked = offsets.check(); !checked) {
    return tl::unexpected{std::move(checked.error())};
  }
  return layout;
}

} // namespace vmemfs
