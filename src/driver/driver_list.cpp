// SPDX-License-Identifier: MIT
#include "driver/driver_list.h"

#include "core/text.h"
#include "driver/driver_runtimes.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

std::string no_such_driver(DriverList drivers, std::string_view name) {
  std::vector<std::string_view> names;
  std::ranges::transform(drivers, std::back_inserter(names), &DriverType::name);
  return fmt::format("there is no driver '{}' here; there are {}", printable(name), fmt::join(names, ", "));
}

/// The pairs with a parameter of the driver.
std::vector<KeyValue> params_for(const DriverType& type, std::span<const KeyValue> pairs) {
  std::vector<KeyValue> params;
  std::ranges::copy_if(pairs, std::back_inserter(params),
                       [&](const KeyValue& pair) { return find_spec(type.params(), pair.key) != nullptr; });
  return params;
}

/// Whether one of them identifies the VM, rather than how it is read.
bool selects_vm(const DriverType& type, std::span<const KeyValue> params) {
  return std::ranges::any_of(params, [&](const KeyValue& pair) {
    const ParamSpec* const spec = find_spec(type.params(), pair.key);
    return spec->required || spec->alternative;
  });
}

/// This driver's parameters for a spec without a driver. nullopt if nothing identifies a VM.
std::optional<std::vector<KeyValue>> params_by_name(const DriverType& type, std::string_view vm,
                                                    std::span<const KeyValue> pairs) {
  auto params = params_for(type, pairs);
  const auto by_name = std::ranges::find_if(type.params(), &ParamSpec::names_vm);
  const bool finds_by_name = by_name != type.params().end();
  // One of many at a socket has to be named nevertheless.
  const bool takes_name = finds_by_name && by_name->required &&
                          std::ranges::find(params, by_name->name, &KeyValue::key) == params.end();
  if (takes_name || (finds_by_name && !selects_vm(type, params))) {
    params.push_back({std::string{by_name->name}, std::string{vm}});
    return params;
  }
  if (selects_vm(type, params)) {
    return params;
  }
  return params.empty() ? std::nullopt : std::optional{std::move(params)};
}

DriverContext context_for(const DriverType& type, const DriverContext& context) {
  DriverContext own = context;
  own.runtime = runtime_of(type, context.runtimes);
  return own;
}

Result<std::unique_ptr<Driver>> open_one(const DriverType& type, std::span<const KeyValue> pairs,
                                         const DriverContext& context) {
  if (auto available = type.available(); !available) {
    return tl::unexpected{std::move(available.error())};
  }
  auto params = Params::check(pairs, type.params());
  if (!params) {
    return fail(params.error().kind, type.name(), std::move(params.error().text));
  }
  return type.open(*params, context_for(type, context));
}

/// The message without the driver's name, if it begins with it.
std::string refusal_text(const DriverType& type, const Error& error) {
  const std::string message = error.message();
  const std::string prefix = fmt::format("{}: ", type.name());
  return message.starts_with(prefix) ? message : prefix + message;
}

/// Why no driver opened a VM: a line for each that tried, and one for all others.
class Refusals {
public:
  void tried(const DriverType& type, const Error& error) {
    tried_.push_back({error.kind, refusal_text(type, error)});
  }
  void needs_more(const DriverType& type) { need_more_.push_back(type.name()); }
  void unavailable(const DriverType& type) { unavailable_.push_back(type.name()); }

  /// Missing rights first, as they are likely the reason; then what failed otherwise; then what has no such
  /// VM.
  [[nodiscard]] tl::unexpected<Error> error(std::string_view vm) {
    std::ranges::stable_sort(tried_, {}, [](const Tried& each) { return rank(each.kind); });
    std::string text = fmt::format("no driver can open '{}':", printable(vm));
    for (const Tried& each : tried_) {
      text += fmt::format("\n  {}", each.text);
    }
    if (const std::string others = others_text(); !others.empty()) {
      text += fmt::format("\n  {}", others);
    }
    return fail(tried_.empty() ? ErrorKind::invalid : tried_.front().kind, "vm", std::move(text));
  }

private:
  struct Tried {
    ErrorKind kind;
    std::string text;
  };

  static int rank(ErrorKind kind) {
    return kind == ErrorKind::permission ? 0 : kind == ErrorKind::not_found ? 2 : 1;
  }

  [[nodiscard]] std::string others_text() const {
    std::vector<std::string> parts;
    if (!need_more_.empty()) {
      parts.push_back(fmt::format("not tried, as they need parameters ('vmemfs drivers NAME' has them): {}",
                                  fmt::join(need_more_, ", ")));
    }
    if (!unavailable_.empty()) {
      parts.push_back(
          fmt::format("not usable here ('vmemfs check' has the reasons): {}", fmt::join(unavailable_, ", ")));
    }
    return fmt::format("{}", fmt::join(parts, "; "));
  }

  std::vector<Tried> tried_;
  std::vector<std::string_view> need_more_;
  std::vector<std::string_view> unavailable_;
};

Result<std::unique_ptr<Driver>> try_each(DriverList drivers, const VmSpec& spec,
                                         const DriverContext& context) {
  const auto pairs = parse_pairs(spec.params).pairs;
  Refusals refusals;
  for (const DriverType* const type : drivers) {
    const bool is_meant = !params_for(*type, pairs).empty(); // a reason is of interest in any case
    const auto params = params_by_name(*type, spec.name, pairs);
    if (!params || (!is_meant && !Params::check(*params, type->params()))) {
      refusals.needs_more(*type);
    } else if (!is_meant && !type->available()) {
      refusals.unavailable(*type);
    } else if (auto opened = open_one(*type, *params, context)) {
      return opened;
    } else {
      refusals.tried(*type, opened.error());
    }
  }
  return refusals.error(spec.name);
}

/// Errors of a spec without a driver: keys that no driver has, and values that no driver accepts.
std::vector<std::string> problems_with_any(DriverList drivers, std::span<const KeyValue> pairs) {
  std::vector<std::string> problems;
  for (const auto& [key, value] : pairs) {
    std::vector<std::string> refusals;
    bool fits = false;
    for (const DriverType* const type : drivers) {
      if (const ParamSpec* const spec = find_spec(type->params(), key)) {
        const auto wrong = wrong_value(*spec, value);
        fits = fits || !wrong;
        refusals.push_back(fmt::format("{}: {}: {}", type->name(), key, wrong.value_or("")));
      }
    }
    if (refusals.empty()) {
      problems.push_back(
          fmt::format("no driver has a parameter '{}' ('vmemfs drivers' lists them)", printable(key)));
    } else if (!fits) {
      std::ranges::move(refusals, std::back_inserter(problems));
    }
  }
  return problems;
}

} // namespace

const DriverType* find_driver(DriverList drivers, std::string_view name) {
  const auto found = std::ranges::find(drivers, name, &DriverType::name);
  return found == drivers.end() ? nullptr : *found;
}

VmSpec resolved(DriverList drivers, VmSpec spec) {
  if (spec.name.empty() && spec.params.empty() && find_driver(drivers, spec.driver) == nullptr) {
    std::swap(spec.name, spec.driver);
  }
  return spec;
}

std::vector<std::string> problems_of(DriverList drivers, const VmSpec& spec,
                                     std::span<const ParamSpec> option_specs) {
  auto [pairs, problems] = parse_pairs(spec.params);
  auto options = parse_pairs(spec.options).pairs;
  if (spec.driver.empty()) {
    std::ranges::move(problems_with_any(drivers, pairs), std::back_inserter(problems));
    std::ranges::move(problems_of(options, option_specs), std::back_inserter(problems));
    return problems;
  }
  const DriverType* const type = find_driver(drivers, spec.driver);
  if (type == nullptr) {
    problems.push_back(no_such_driver(drivers, spec.driver));
    std::ranges::move(problems_of(options, option_specs), std::back_inserter(problems));
    return problems;
  }
  std::vector<ParamSpec> specs{type->params().begin(), type->params().end()};
  std::ranges::copy(option_specs, std::back_inserter(specs));
  std::ranges::move(options, std::back_inserter(pairs));
  for (const std::string& problem : problems_of(pairs, specs)) {
    problems.push_back(fmt::format("{}: {}", type->name(), problem));
  }
  for (const auto& [key, value] : pairs) {
    if (find_spec(specs, key) == nullptr && find_spec(type->discovery_params(), key) != nullptr) {
      problems.push_back(fmt::format("{}: '{}' finds VMs; give it as --discover {}:{}=...", type->name(), key,
                                     type->name(), key));
    }
  }
  return problems;
}

Result<std::unique_ptr<Discovery>> open_discovery(DriverList drivers, const VmSpec& spec,
                                                  const DriverRuntimes* runtimes) {
  const DriverType* const type = find_driver(drivers, spec.driver);
  if (type == nullptr) {
    return fail(ErrorKind::invalid, "discovery", no_such_driver(drivers, spec.driver));
  }
  const auto params = Params::parse(spec.params, type->discovery_params());
  const auto wrong = [&] { return fail(params.error().kind, spec.driver, params.error().message()); };
  if (!params && !type->discovery_params().empty()) {
    return wrong();
  }
  auto discovery = type->discovery(params.value_or(Params{}), runtime_of(*type, runtimes));
  if (discovery == nullptr) { // whatever the parameters are
    return fail(ErrorKind::unsupported, spec.driver,
                "this driver finds no VMs by itself; name them with --vm");
  }
  if (!params) {
    return wrong();
  }
  return discovery;
}

Needs needs_of_vm(DriverList drivers, const VmSpec& spec) {
  Needs all;
  for (const DriverType* const type : drivers) {
    if (!spec.driver.empty() && type->name() != spec.driver) {
      continue;
    }
    const auto params = params_by_name(*type, spec.name, parse_pairs(spec.params).pairs);
    const auto checked = params ? std::optional{Params::check(*params, type->params())} : std::nullopt;
    if (checked && *checked) {
      all.add(type->needs(**checked));
    }
  }
  return all;
}

Needs needs_of_discovery(DriverList drivers, const VmSpec& spec) {
  const DriverType* const type = find_driver(drivers, spec.driver);
  if (type == nullptr) {
    return {};
  }
  const auto params = Params::parse(spec.params, type->discovery_params());
  return params ? type->needs(*params) : Needs{};
}

Result<std::unique_ptr<Driver>> open_driver(DriverList drivers, const VmSpec& spec,
                                            const DriverContext& context) {
  if (spec.driver.empty()) {
    return try_each(drivers, spec, context);
  }
  const DriverType* const type = find_driver(drivers, spec.driver);
  if (type == nullptr) {
    return fail(ErrorKind::invalid, "vm", no_such_driver(drivers, spec.driver));
  }
  const auto params = Params::parse(spec.params, type->params());
  if (!params) {
    return fail(params.error().kind, spec.driver, params.error().message());
  }
  return type->open(*params, context_for(*type, context));
}

} // namespace vmemfs
