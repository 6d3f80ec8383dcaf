// SPDX-License-Identifier: MIT
#include "linux/isf/isf.h"

#include "linux/isf/json_text.h"
#include "linux/isf/symbol_text.h"
#include "linux/isf/type_text.h"
#include "linux/vmlinux/linked_symbols.h"

#include <utility>

namespace vmemfs {
namespace {

/// The kinds of sources are those of the schema; "dwarf" is the only one for types that Volatility knows.
void write_metadata(isf::JsonText& text, const IsfSource& source) {
  text.raw(R"({"metadata":{"linux":{"symbols":[{"kind":"symtab","name":)");
  text.string(source.release);
  text.raw(R"(}],"types":[{"kind":"dwarf","name":)");
  text.string(source.release);
  text.raw(R"(}]},"producer":{"name":"vmemfs","version":)");
  text.string(source.producer_version);
  text.raw("},\"format\":\"6.2.0\"},\n");
}

} // namespace

Result<std::string> isf_text(const KernelSymbols& symbols, const btf::Types& types, const IsfSource& source) {
  // What those of kernels take at most.
  constexpr std::size_t kUsualBytes = std::size_t{28} << 20U;
  isf::JsonText text{kMaxIsfBytes};
  text.reserve(types.bytes().size() > kUsualBytes / 8 ? kUsualBytes : 0);
  isf::TypeText type_text{text, types};
  const LinkedSymbols linked{symbols, source.kaslr_offset};
  isf::SymbolText symbol_text{text, type_text, types, linked, source.banner};

  write_metadata(text, source);
  text.raw("\"base_types\":{\n");
  type_text.write_base_types();
  text.raw("},\n\"user_types\":{\n");
  type_text.write_structures();
  text.raw("},\n\"enums\":{\n");
  type_text.write_enumerations();
  text.raw("},\n\"symbols\":{\n");
  symbol_text.write();
  text.raw("}}\n");
  if (text.full()) {
    return fail(ErrorKind::no_data, "isf",
                "cannot make an ISF: the kernel's types and symbols are too large");
  }
  return std::move(text).take();
}

} // namespace vmemfs
