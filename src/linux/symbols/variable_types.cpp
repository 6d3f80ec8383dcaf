// SPDX-License-Identifier: MIT
#include "linux/symbols/variable_types.h"

#include "linux/symbols/variable_table.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vmemfs {
namespace {

/// The next piece of the text, up to the separator.
std::string_view cut(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return piece;
}

/// "[]*struct gate_struct" has the declarators "[*".
std::size_t declarators_end(std::string_view text) {
  const std::size_t end = text.find_first_not_of("[]*");
  return end == std::string_view::npos ? text.size() : end;
}

/// The table's declarators, without the second character of an array's, with an address that lasts.
std::string_view short_declarators(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kForms{
      {{"*", "*"}, {"**", "**"}, {"[]", "["}, {"[]*", "[*"}}};
  const auto* const form =
      std::ranges::find(kForms, text, &std::pair<std::string_view, std::string_view>::first);
  return form != kForms.end() ? form->second : std::string_view{};
}

std::vector<VariableType> parse(std::string_view text) {
  std::vector<VariableType> table;
  while (!text.empty()) {
    std::string_view line = cut(text, '\n');
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const std::string_view name = cut(line, ' ');
    const std::size_t end = declarators_end(line);
    table.push_back({name, short_declarators(line.substr(0, end)), line.substr(end)});
  }
  std::ranges::sort(table, {}, &VariableType::name);
  return table;
}

} // namespace

std::span<const VariableType> variable_types() {
  static const auto kTable = parse(kVariableTable);
  return kTable;
}

const VariableType* variable_type(std::string_view name) {
  const auto table = variable_types();
  const auto found = std::ranges::lower_bound(table, name, {}, &VariableType::name);
  return found != table.end() && found->name == name ? &*found : nullptr;
}

std::optional<btf::TypeId> named_type(const btf::Types& types, std::string_view type) {
  constexpr std::array<std::pair<std::string_view, btf::Kind>, 3> kPrefixes{
      {{"struct ", btf::Kind::structure},
       {"union ", btf::Kind::union_type},
       {"enum ", btf::Kind::enumeration}}};
  if (type == "func" || type == "void") {
    return btf::kVoid;
  }
  for (const auto& [prefix, kind] : kPrefixes) {
    if (type.starts_with(prefix)) {
      const std::string_view name = type.substr(prefix.size());
      const auto found = types.find(kind, name);
      // A type such as pgd_t is a definition of a structure without a name, which tools call a structure.
      return found ? found : types.find(btf::Kind::type_definition, name);
    }
  }
  const auto integer = types.find(btf::Kind::integer, type);
  return integer ? integer : types.find(btf::Kind::type_definition, type);
}

} // namespace vmemfs
