// SPDX-License-Identifier: MIT
// Symbols of a kernel as an ISF describes them.
#pragma once

#include "linux/btf/types.h"
#include "linux/isf/json_text.h"
#include "linux/isf/type_text.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/symbols/variable_types.h"
#include "linux/vmlinux/linked_symbols.h"

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::isf {

class SymbolText {
public:
  /// All outlive this object. `banner`: what the symbol linux_banner has.
  SymbolText(JsonText& text, TypeText& type_text, const btf::Types& types, const LinkedSymbols& symbols,
             std::string_view banner);

  /// The content of the object "symbols".
  void write();

private:
  void write(const KernelSymbol& symbol);
  void write_banner();
  void write_declared(const VariableType& variable, btf::TypeId type, std::uint64_t address);
  [[nodiscard]] btf::TypeId variable(std::string_view name) const;

  JsonText& text_;
  TypeText& type_text_;
  const btf::Types& types_;
  const LinkedSymbols& symbols_;
  const std::string_view banner_;
  std::vector<std::pair<std::string_view, btf::TypeId>> variables_; ///< those of BTF, sorted
};

} // namespace vmemfs::isf
