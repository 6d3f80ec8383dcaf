#include "driver/params.h"

#include "core/text.h"

#include <algorithm>
#include <cassert>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

struct KeyValue {
  std::string key;
  std::string value;
};

/// Takes one value off the front of `text`, up to a comma that is not in quotes.
Result<std::string> take_value(std::string_view& text) {
  std::string value;
  bool quoted = false;
  std::size_t i = 0;
  for (; i < text.size() && (quoted || text[i] != ','); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
    } else if (quoted && text[i] == '\\' && i + 1 < text.size()) {
      value += text[++i];
    } else {
      value += text[i];
    }
  }
  if (quoted) {
    return fail(ErrorKind::invalid, "parameters", "a quote is not closed; write \"like this\"");
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  return value;
}

Result<std::vector<KeyValue>> split_pairs(std::string_view text) {
  std::vector<KeyValue> pairs;
  while (!text.empty()) {
    const std::size_t equals = text.find_first_of("=,");
    if (equals == std::string_view::npos || text[equals] != '=') {
      return fail(ErrorKind::invalid, "parameters",
                  fmt::format("'{}' is not KEY=VALUE", printable(text.substr(0, equals))));
    }
    std::string key{trim(text.substr(0, equals))};
    text.remove_prefix(equals + 1);
    auto value = take_value(text);
    if (!value) {
      return tl::unexpected{value.error()};
    }
    pairs.push_back({std::move(key), std::move(*value)});
  }
  return pairs;
}

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "1") {
    return true;
  }
  if (text == "off" || text == "no" || text == "false" || text == "0") {
    return false;
  }
  return std::nullopt;
}

/// What is allowed, for messages and tables.
std::string describe_type(const ParamSpec& spec) {
  switch (spec.type) {
  case ParamType::text: return "text";
  case ParamType::number: return "number";
  case ParamType::size: return "size (bytes, or with K, M, G, T)";
  case ParamType::duration: return "duration (as 500ms, 2s or 1m)";
  case ParamType::flag: return "on or off";
  case ParamType::choice: return fmt::format("one of {}", fmt::join(spec.choices, ", "));
  }
  return "text";
}

bool fits(const ParamSpec& spec, std::string_view value) {
  switch (spec.type) {
  case ParamType::text: return !value.empty();
  case ParamType::number: return parse_u64(value).has_value();
  case ParamType::size: return parse_size(value).has_value();
  case ParamType::duration: return parse_duration(value).has_value();
  case ParamType::flag: return parse_flag(value).has_value();
  case ParamType::choice: return std::ranges::find(spec.choices, value) != spec.choices.end();
  }
  return false;
}

std::vector<std::string_view> names_of(std::span<const ParamSpec> specs) {
  std::vector<std::string_view> names;
  std::ranges::transform(specs, std::back_inserter(names), &ParamSpec::name);
  return names;
}

} // namespace

Result<Params> Params::parse(std::string_view text, std::span<const ParamSpec> specs) {
  const auto pairs = split_pairs(text);
  if (!pairs) {
    return tl::unexpected{pairs.error()};
  }

  Params params;
  std::vector<std::string> problems;
  for (const auto& [key, value] : *pairs) {
    const auto spec = std::ranges::find(specs, key, &ParamSpec::name);
    if (spec == specs.end()) {
      problems.push_back(fmt::format("there is no parameter '{}' (known: {})", printable(key),
                                     fmt::join(names_of(specs), ", ")));
    } else if (!fits(*spec, value)) {
      problems.push_back(
          fmt::format("{}: '{}' is not allowed; it takes {}", key, printable(value), describe_type(*spec)));
    } else if (!params.values_.emplace(key, value).second) {
      problems.push_back(fmt::format("{} is given twice", key));
    }
  }
  for (const ParamSpec& spec : specs) {
    if (params.values_.contains(spec.name)) {
      continue;
    }
    if (!spec.fallback.empty()) {
      params.values_.emplace(spec.name, spec.fallback);
    } else if (spec.required && problems.empty()) {
      problems.push_back(fmt::format("{} is missing; for example {}={}", spec.name, spec.name, spec.example));
    }
  }
  if (!problems.empty()) {
    return fail(ErrorKind::invalid, "parameters", fmt::format("{}", fmt::join(problems, "; ")));
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

std::string describe(std::span<const ParamSpec> specs) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const ParamSpec& spec : specs) {
    fmt::format_to(out, "  {}  {}{}{}\n      {}\n      example: {}={}\n", spec.name, describe_type(spec),
                   spec.required ? ", required" : "",
                   spec.fallback.empty() ? "" : fmt::format(", default {}", spec.fallback), spec.help,
                   spec.name, spec.example);
  }
  return text;
}

Result<VmSpec> parse_vm_spec(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view head = text.substr(0, colon);
  const std::size_t equals = head.find('=');
  VmSpec spec;
  if (equals != std::string_view::npos) {
    spec.name = head.substr(0, equals);
    if (spec.name.empty()) {
      return fail(ErrorKind::invalid, "vm", fmt::format("'{}' has no name before the '='", printable(text)));
    }
  }
  spec.driver = head.substr(equals == std::string_view::npos ? 0 : equals + 1);
  if (spec.driver.empty()) {
    return fail(ErrorKind::invalid, "vm",
                fmt::format("'{}' names no driver; write NAME=DRIVER:KEY=VALUE,... as in "
                            "web01=qemu:qmp=/run/web01.qmp ('vmemfs drivers' lists them)",
                            printable(text)));
  }
  if (colon != std::string_view::npos) {
    spec.params = text.substr(colon + 1);
  }
  return spec;
}

} // namespace vmemfs
