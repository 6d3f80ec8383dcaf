// SPDX-License-Identifier: MIT
#include "driver/params.h"

#include "core/duration.h"
#include "core/text.h"
#include "util/users/accounts.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "1") {
    return true;
  }
  if (text == "off" || text == "no" || text == "false" || text == "0") {
    return false;
  }
  return std::nullopt;
}

/// The number to compare with the range: a count, bytes or milliseconds; nullopt if `value` is not one.
std::optional<std::uint64_t> measure(const ParamSpec& spec, std::string_view value) {
  if (spec.type == ParamType::size) {
    return parse_size(value);
  }
  if (spec.type == ParamType::duration) {
    const auto duration = parse_duration(value);
    return duration ? std::optional{static_cast<std::uint64_t>(duration->count())} : std::nullopt;
  }
  return parse_u64(value);
}

bool fits(const ParamSpec& spec, std::string_view value) {
  switch (spec.type) {
  case ParamType::text:
  case ParamType::path: // the system would end it at a NUL
    return !value.empty() && value.find('\0') == std::string_view::npos;
  case ParamType::number:
  case ParamType::size:
  case ParamType::duration: {
    const auto measured = measure(spec, value);
    return measured && *measured >= spec.range.min && *measured <= spec.range.max;
  }
  case ParamType::flag: return parse_flag(value).has_value();
  case ParamType::choice: return std::ranges::find(spec.choices, value) != spec.choices.end();
  case ParamType::mode: {
    const auto mode = parse_mode(value);
    return mode && (*mode & ~spec.range.max) == 0;
  }
  case ParamType::user: return find_user(value).has_value();
  case ParamType::group: return find_group(value).has_value();
  }
  return false;
}

std::string plain_type(ParamType type) {
  switch (type) {
  case ParamType::text: return "text";
  case ParamType::path: return "a path";
  case ParamType::number: return "a number";
  case ParamType::size: return "a size (bytes, or with K, M, G, T)";
  case ParamType::duration: return fmt::format("a duration ({})", kDurationForm);
  case ParamType::flag: return "on or off";
  case ParamType::choice: return "one of ";
  case ParamType::mode: return "permission bits in octal";
  case ParamType::user: return "a user of this host, by name or number";
  case ParamType::group: return "a group of this host, by name or number";
  }
  return "text";
}

/// A limit in the largest unit that it is a multiple of.
std::string in_units(std::uint64_t value, std::uint64_t factor, std::span<const std::string_view> units) {
  std::size_t unit = 0;
  while (value != 0 && value % factor == 0 && unit + 1 < units.size()) {
    value /= factor;
    ++unit;
  }
  return fmt::format("{}{}", value, units[unit]);
}

std::string describe_limit(const ParamSpec& spec, std::uint64_t limit) {
  constexpr std::array<std::string_view, 5> kSizes{"", "K", "M", "G", "T"};
  if (spec.type == ParamType::size) {
    return in_units(limit, 1024, kSizes);
  }
  return spec.type == ParamType::duration
             ? duration_text(std::chrono::milliseconds{static_cast<std::int64_t>(limit)})
             : fmt::format("{}", limit);
}

std::string describe_range(const ParamSpec& spec) {
  const auto& [min, max] = spec.range;
  if (spec.type == ParamType::mode) {
    return fmt::format(", of {:#o}", max);
  }
  if (min != 0 && max != kNoLimit) {
    return fmt::format(", {} to {}", describe_limit(spec, min), describe_limit(spec, max));
  }
  if (max != kNoLimit) {
    return fmt::format(", at most {}", describe_limit(spec, max));
  }
  return min == 0 ? "" : fmt::format(", at least {}", describe_limit(spec, min));
}

std::vector<std::string_view> names_of(std::span<const ParamSpec> specs) {
  std::vector<std::string_view> names;
  std::ranges::transform(specs, std::back_inserter(names), &ParamSpec::name);
  return names;
}

std::vector<std::string_view> alternatives_of(std::span<const ParamSpec> specs) {
  std::vector<std::string_view> names;
  for (const ParamSpec& spec : specs) {
    if (spec.alternative) {
      names.push_back(spec.name);
    }
  }
  return names;
}

/// Of an unknown parameter, which may be the rest of the value before it.
std::string comma_hint(const KeyValue* before, const KeyValue& unknown) {
  if (before == nullptr) {
    return "";
  }
  return fmt::format("; a value with a comma takes double quotes: {}=\"{},{}={}\"", printable(before->key),
                     printable(before->value), printable(unknown.key), printable(unknown.value));
}

tl::unexpected<Error> refuse(const std::vector<std::string>& problems) {
  return fail(ErrorKind::invalid, "parameters", fmt::format("{}", fmt::join(problems, "; ")));
}

} // namespace

Result<Params> Params::parse(std::string_view text, std::span<const ParamSpec> specs) {
  auto [pairs, problems] = parse_pairs(text);
  if (problems.empty()) {
    return check(pairs, specs);
  }
  std::ranges::move(problems_of(pairs, specs), std::back_inserter(problems));
  return refuse(problems);
}

Result<Params> Params::check(std::span<const KeyValue> pairs, std::span<const ParamSpec> specs) {
  if (const auto problems = problems_of(pairs, specs); !problems.empty()) {
    return refuse(problems);
  }
  Params params;
  for (const auto& [key, value] : pairs) {
    params.values_.emplace(key, value);
  }
  for (const ParamSpec& spec : specs) {
    if (!spec.fallback.empty()) {
      params.values_.emplace(spec.name, spec.fallback); // if it was not given
    }
  }
  return params;
}

bool Params::has(std::string_view name) const { return values_.contains(name); }

const std::string& Params::text(std::string_view name) const {
  static const std::string kNone;
  const auto found = values_.find(name);
  return found == values_.end() ? kNone : found->second;
}

std::uint64_t Params::number(std::string_view name) const { return parse_size(text(name)).value_or(0); }

std::chrono::milliseconds Params::duration(std::string_view name) const {
  return parse_duration(text(name)).value_or(std::chrono::milliseconds{0});
}

bool Params::flag(std::string_view name) const { return parse_flag(text(name)).value_or(false); }

mode_t Params::mode(std::string_view name) const { return parse_mode(text(name)).value_or(0); }

uid_t Params::user(std::string_view name) const { return find_user(text(name)).value_or(0); }

gid_t Params::group(std::string_view name) const { return find_group(text(name)).value_or(0); }

const ParamSpec* find_spec(std::span<const ParamSpec> specs, std::string_view name) {
  const auto found = std::ranges::find(specs, name, &ParamSpec::name);
  return found == specs.end() ? nullptr : &*found;
}

std::string unknown_param(std::string_view name, std::span<const ParamSpec> specs) {
  if (specs.empty()) {
    return fmt::format("there is no parameter '{}'; none is taken here", printable(name));
  }
  return fmt::format("there is no parameter '{}' (known: {})", printable(name),
                     fmt::join(names_of(specs), ", "));
}

std::optional<std::string> wrong_value(const ParamSpec& spec, std::string_view value) {
  if (fits(spec, value)) {
    return std::nullopt;
  }
  return fmt::format("'{}' is not allowed; it takes {}", printable(value), describe_type(spec));
}

std::vector<std::string> missing_params(std::span<const KeyValue> given, std::span<const ParamSpec> specs) {
  const auto is_given = [&](const ParamSpec& spec) {
    return std::ranges::find(given, spec.name, &KeyValue::key) != given.end();
  };
  std::vector<std::string> problems;
  for (const ParamSpec& spec : specs) {
    if (spec.required && spec.fallback.empty() && !is_given(spec)) {
      problems.push_back(fmt::format("{} is missing; for example {}={}", spec.name, spec.name, spec.example));
    }
  }
  const auto first = std::ranges::find_if(specs, &ParamSpec::alternative);
  if (first != specs.end() && std::ranges::none_of(specs, [&](const ParamSpec& spec) {
        return spec.alternative && is_given(spec);
      })) {
    problems.push_back(fmt::format("one of {} is needed; for example {}={}",
                                   fmt::join(alternatives_of(specs), ", "), first->name, first->example));
  }
  return problems;
}

std::vector<std::string> problems_of(std::span<const KeyValue> pairs, std::span<const ParamSpec> specs) {
  std::vector<std::string> problems;
  std::set<std::string_view> seen;
  const KeyValue* before = nullptr; // if its value is a text, which may have a comma
  for (const KeyValue& pair : pairs) {
    const auto& [key, value] = pair;
    const ParamSpec* const spec = find_spec(specs, key);
    if (spec == nullptr) {
      problems.push_back(unknown_param(key, specs) + comma_hint(before, pair));
      before = nullptr;
      continue;
    }
    before = spec->type == ParamType::text || spec->type == ParamType::path ? &pair : nullptr;
    if (const auto wrong = wrong_value(*spec, value)) {
      problems.push_back(fmt::format("{}: {}", key, *wrong));
    }
    if (!seen.insert(key).second) {
      problems.push_back(fmt::format("{} is given twice", key));
    }
  }
  std::ranges::move(missing_params(pairs, specs), std::back_inserter(problems));
  return problems;
}

std::string describe_type(const ParamSpec& spec) {
  return fmt::format("{}{}{}", plain_type(spec.type), fmt::join(spec.choices, ", "), describe_range(spec));
}

std::string describe(std::span<const ParamSpec> specs) {
  const std::string one_of = fmt::format(", one of {} is required", fmt::join(alternatives_of(specs), ", "));
  std::string text;
  for (const ParamSpec& spec : specs) {
    text += fmt::format("  {}  {}{}{}{}\n      {}\n      example: {}={}\n", spec.name, describe_type(spec),
                        spec.required ? ", required" : "", spec.alternative ? one_of : "",
                        spec.fallback.empty() ? "" : fmt::format(", default {}", spec.fallback), spec.help,
                        spec.name, spec.example);
  }
  return text;
}

} // namespace vmemfs
