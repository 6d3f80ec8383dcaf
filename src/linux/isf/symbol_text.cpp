// SPDX-License-Identifier: MIT
#include "linux/isf/symbol_text.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>

namespace vmemfs::isf {
namespace {

using btf::Kind;
using btf::TypeId;

constexpr std::string_view kBanner = "linux_banner";

/// Max size of an array that ends where the next symbol begins. If that is further away, data without a name
/// lies between.
constexpr std::uint64_t kMaxArrayBytes = 65536;

bool is_global(const KernelSymbol& symbol) { return symbol.type >= 'A' && symbol.type <= 'Z'; }

/// One symbol for each name, sorted by it.
std::vector<const KernelSymbol*> unique_symbols(const KernelSymbols& symbols) {
  std::vector<const KernelSymbol*> unique;
  unique.reserve(symbols.all().size());
  for (const KernelSymbol& symbol : symbols.all()) {
    unique.push_back(&symbol);
  }
  std::ranges::sort(unique, [](const KernelSymbol* a, const KernelSymbol* b) {
    if (const int order = a->name.compare(b->name); order != 0) {
      return order < 0;
    }
    return is_global(*a) != is_global(*b) ? is_global(*a) : a < b;
  });
  const auto same_name = [](const KernelSymbol* a, const KernelSymbol* b) { return a->name == b->name; };
  const auto rest = std::ranges::unique(unique, same_name);
  unique.erase(rest.begin(), rest.end());
  return unique;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    const std::size_t digits = std::min<std::size_t>(bytes.size() - i, 3) + 1;
    for (std::size_t k = 0; k < 4; ++k) {
      text += k < digits ? kDigits[(group >> (18 - 6 * k)) & 0x3fU] : '=';
    }
  }
  return text;
}

} // namespace

SymbolText::SymbolText(JsonText& text, TypeText& type_text, const btf::Types& types,
                       const LinkedSymbols& symbols, std::string_view banner)
    : text_{text}, type_text_{type_text}, types_{types}, symbols_{symbols}, banner_{banner} {
  for (TypeId id = 1; id < types.end(); ++id) {
    if (const btf::Type type = types.type(id); type.kind == Kind::variable) {
      variables_.emplace_back(type.name, type.target);
    }
  }
  std::ranges::sort(variables_);
}

void SymbolText::write() {
  bool is_first = true;
  for (const KernelSymbol* const symbol : unique_symbols(symbols_.symbols())) {
    if (text_.full()) {
      return;
    }
    text_.separate(is_first);
    write(*symbol);
  }
}

void SymbolText::write(const KernelSymbol& symbol) {
  const std::uint64_t address = symbols_.address(symbol);
  text_.string(symbol.name);
  text_.raw(R"(:{"address":)");
  text_.number(address);
  text_.raw(R"(,"type":)");
  const VariableType* const listed = variable_type(symbol.name);
  const auto type = listed != nullptr ? named_type(types_, listed->type) : std::nullopt;
  if (symbol.name == kBanner) {
    write_banner();
  } else if (type) {
    write_declared(*listed, *type, address);
  } else {
    type_text_.write_reference(variable(symbol.name));
  }
  text_.raw("}");
}

void SymbolText::write_banner() {
  text_.raw(R"({"kind":"array","count":)");
  text_.number(banner_.size());
  text_.raw(R"(,"subtype":{"kind":"base","name":"char"}},"constant_data":")");
  text_.raw(base64(banner_));
  text_.raw("\"");
}

/// The type of a BTF's variable; kVoid: it has none of this name.
TypeId SymbolText::variable(std::string_view name) const {
  const auto found = std::ranges::lower_bound(variables_, name, {}, &decltype(variables_)::value_type::first);
  return found != variables_.end() && found->first == name ? found->second : btf::kVoid;
}

/// The type with the declarators around it. An array ends where the next symbol begins.
void SymbolText::write_declared(const VariableType& variable, TypeId type, std::uint64_t address) {
  constexpr std::uint64_t kPointerBytes = 8;
  const std::string_view declarators = variable.declarators;
  for (std::size_t i = 0; i < declarators.size(); ++i) {
    if (declarators[i] == '*') {
      text_.raw(R"({"kind":"pointer","subtype":)");
      continue;
    }
    // Only an array of the whole variable is known to end with it.
    const std::uint64_t bytes = i == 0 ? symbols_.extent(address, address + kMaxArrayBytes).size() : 0;
    const bool has_pointers = i + 1 < declarators.size();
    const std::uint64_t element = has_pointers ? kPointerBytes : types_.size_of(type).value_or(0);
    text_.raw(R"({"kind":"array","count":)");
    text_.number(element != 0 ? bytes / element : 0);
    text_.raw(R"(,"subtype":)");
  }
  if (variable.type == "func") {
    text_.raw(R"({"kind":"function"})");
  } else {
    type_text_.write_reference(type);
  }
  text_.raw(std::string(declarators.size(), '}'));
}

} // namespace vmemfs::isf
