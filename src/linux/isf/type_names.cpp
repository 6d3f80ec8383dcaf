// SPDX-License-Identifier: MIT
#include "linux/isf/type_names.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <tuple>

namespace vmemfs::isf {
namespace {

using btf::Kind;
using btf::TypeId;

bool is_structure(Kind kind) { return kind == Kind::structure || kind == Kind::union_type; }
bool is_enumeration(Kind kind) { return kind == Kind::enumeration || kind == Kind::enumeration64; }

} // namespace

TypeNames::TypeNames(const btf::Types& types) : types_{types}, names_(types.end()) {
  std::vector<Candidate> all = candidates();
  const auto group = [](const Candidate& c) { return std::tie(c.is_enumeration, c.name); };
  std::ranges::sort(all, [&](const Candidate& a, const Candidate& b) {
    const auto name_order = std::tuple_cat(group(a), std::tie(a.reason));
    const auto other_order = std::tuple_cat(group(b), std::tie(b.reason));
    // The more references the better.
    return std::tuple_cat(name_order, std::tie(b.references, a.type)) <
           std::tuple_cat(other_order, std::tie(a.references, b.type));
  });
  for (std::size_t i = 0; i < all.size(); ++i) {
    give(all[i], i == 0 || group(all[i - 1]) != group(all[i]));
  }
}

/// How often each type is referred to, through type definitions and qualifiers.
std::vector<std::uint32_t> TypeNames::count_references() const {
  std::vector<std::uint32_t> counts(types_.end());
  const auto see = [&](TypeId id) { ++counts[types_.resolve(id)]; };
  for (TypeId id = 1; id < types_.end(); ++id) {
    const btf::Type type = types_.type(id);
    see(type.target);
    if (type.kind == Kind::array) {
      see(types_.array(id).element);
    }
    for (std::size_t i = 0; i < type.count; ++i) {
      if (is_structure(type.kind)) {
        see(types_.member(id, i).type);
      } else if (type.kind == Kind::function_prototype) {
        see(types_.parameter(id, i).type);
      }
    }
  }
  return counts;
}

std::vector<TypeNames::Candidate> TypeNames::candidates() const {
  const std::vector<std::uint32_t> references = count_references();
  std::vector<Candidate> all;
  for (TypeId id = 1; id < types_.end(); ++id) {
    const btf::Type type = types_.type(id);
    const bool is_definition = type.kind == Kind::type_definition;
    const TypeId named = is_definition ? types_.resolve(id) : id;
    const btf::Type of = types_.type(named);
    if (type.name.empty() || (!is_structure(of.kind) && !is_enumeration(of.kind))) {
      continue;
    }
    const Reason reason = !is_definition    ? Reason::own
                          : of.name.empty() ? Reason::definition
                                            : Reason::further_definition;
    all.push_back({.name = type.name,
                   .is_enumeration = is_enumeration(of.kind),
                   .reason = reason,
                   .references = references[named],
                   .type = named});
  }
  return all;
}

/// `is_first`: no other candidate has the name.
void TypeNames::give(const Candidate& candidate, bool is_first) {
  Name& name = names_[candidate.type];
  if (candidate.reason == Reason::own) {
    name = {.text = candidate.name, .is_numbered = !is_first};
  } else if (is_first && candidate.reason == Reason::definition && name.text.empty()) {
    name = {.text = candidate.name, .is_numbered = false};
  } else if (is_first && !candidate.is_enumeration) {
    aliases_.push_back({.name = candidate.name, .type = candidate.type});
  }
}

void TypeNames::append(JsonText& text, TypeId id) const {
  const Name& name = names_[id];
  if (name.text.empty()) {
    text.raw("unnamed_");
    text.number(id);
    return;
  }
  text.content(name.text);
  if (name.is_numbered) {
    text.raw("__");
    text.number(id);
  }
}

} // namespace vmemfs::isf
