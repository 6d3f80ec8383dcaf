// SPDX-License-Identifier: MIT
#include "fs/cli/complete.h"

#include "drivers/all_drivers.h"
#include "fs/save/save_format.h"
#include "vm/vm_options.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <iostream>
#include <iterator>

namespace vmemfs {
namespace {

using Strings = std::vector<std::string>;

constexpr std::array<std::string_view, 4> kSubcommands{"list", "save", "drivers", "check"};

Strings driver_names(std::string_view before, std::string_view after) {
  Strings names;
  std::ranges::transform(all_drivers(), std::back_inserter(names), [&](const DriverType* type) {
    return fmt::format("{}{}{}", before, type->name(), after);
  });
  return names;
}

/// `before` is the part of the word in front of the value.
Strings values_of(const ParamSpec& spec, std::string_view before) {
  Strings values;
  const auto add = [&](std::string_view value) { values.push_back(fmt::format("{}{}", before, value)); };
  if (spec.type == ParamType::flag) {
    add("on");
    add("off");
  }
  std::ranges::for_each(spec.choices, add);
  return values;
}

/// Offset of the last KEY=VALUE: after the last comma that is not in quotes.
std::size_t last_pair(std::string_view text) {
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == '\\' && quoted) {
      ++i;
    } else if (text[i] == ',' && !quoted) {
      begin = i + 1;
    }
  }
  return begin;
}

/// Completions of the last KEY=VALUE pair of `word`, which has such pairs from `pairs_at` on.
Strings complete_pairs(std::string_view word, std::size_t pairs_at, std::span<const ParamSpec> specs) {
  const std::string_view pairs = word.substr(pairs_at);
  const std::size_t begin = last_pair(pairs);
  const std::string_view pair = pairs.substr(begin);
  if (const std::size_t end = pair.find('='); end != std::string_view::npos) {
    const ParamSpec* const spec = find_spec(specs, pair.substr(0, end));
    return spec == nullptr ? Strings{} : values_of(*spec, word.substr(0, pairs_at + begin + end + 1));
  }
  const auto given = parse_pairs(pairs.substr(0, begin)).pairs;
  Strings keys;
  for (const ParamSpec& spec : specs) {
    if (std::ranges::find(given, spec.name, &KeyValue::key) == given.end()) {
      keys.push_back(fmt::format("{}{}=", word.substr(0, pairs_at + begin), spec.name));
    }
  }
  return keys;
}

/// Completions of a value of --vm.
Strings complete_vm(std::string_view word) {
  const std::size_t colon = word.find(':');
  const std::string_view head = word.substr(0, colon);
  const std::size_t equals = head.find('=');
  const std::size_t driver_at = equals == std::string_view::npos ? 0 : equals + 1;
  if (colon == std::string_view::npos) {
    return driver_names(head.substr(0, driver_at), ":");
  }
  const DriverType* const type = find_driver(all_drivers(), head.substr(driver_at));
  if (type == nullptr) {
    return {};
  }
  std::vector<ParamSpec> specs{type->params().begin(), type->params().end()};
  std::ranges::copy(vm_option_specs(), std::back_inserter(specs));
  return complete_pairs(word, colon + 1, specs);
}

/// Completions of a value of --discover.
Strings complete_discovery(std::string_view word) {
  const std::size_t colon = word.find(':');
  Strings names;
  for (const DriverType* const type : all_drivers()) {
    const bool by_itself = type->discovery({}, nullptr) != nullptr;
    if (!by_itself && type->discovery_params().empty()) {
      continue;
    }
    if (colon == std::string_view::npos) {
      if (by_itself) {
        names.emplace_back(type->name());
      }
      if (!type->discovery_params().empty()) {
        names.push_back(fmt::format("{}:", type->name()));
      }
    } else if (type->name() == word.substr(0, colon)) {
      return complete_pairs(word, colon + 1, type->discovery_params());
    }
  }
  return names;
}

/// Completions of the words of `vmemfs save`.
Strings complete_save(const Completion& typed, std::string_view before) {
  if (before == "--format") {
    Strings names;
    std::ranges::transform(save_formats(), std::back_inserter(names),
                           [](const SaveFormatInfo& format) { return std::string{format.name}; });
    return names;
  }
  const bool wants_value = before == "--max-pause" || before == "--sidecar" || before == "--threads";
  return typed.words.back().starts_with('-') && !wants_value ? typed.options_of_save : Strings{};
}

/// All valid words at the position of the last word, whatever it begins with.
Strings candidates(const Completion& typed) {
  const std::string& word = typed.words.back();
  const std::string before = typed.words.size() > 1 ? typed.words[typed.words.size() - 2] : "";
  const std::string& first = typed.words.front();
  if (first == "save" && typed.words.size() > 1) {
    return complete_save(typed, before);
  }
  if (before == "--vm") {
    return complete_vm(word);
  }
  if (before == "--discover") {
    return complete_discovery(word);
  }
  if (before == "--config" || before == "-o") {
    return {};
  }
  if (first == "drivers" && typed.words.size() == 2) {
    return driver_names("", "");
  }
  if (first == "list") {
    return typed.options_of_list;
  }
  if (first == "check") {
    return {"--unit"};
  }
  if (word.starts_with('-')) {
    return typed.options;
  }
  return typed.words.size() == 1 ? Strings{kSubcommands.begin(), kSubcommands.end()} : Strings{};
}

} // namespace

std::vector<std::string> complete(const Completion& typed) {
  if (typed.words.empty()) {
    return {};
  }
  auto words = candidates(typed);
  std::erase_if(words, [&](const std::string& word) { return !word.starts_with(typed.words.back()); });
  return words;
}

int print_completions(const Completion& typed) {
  for (const std::string& word : complete(typed)) {
    std::cout << word << '\n';
  }
  return 0;
}

} // namespace vmemfs
