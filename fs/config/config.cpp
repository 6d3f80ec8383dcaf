// SPDX-License-Identifier: MIT
#include "fs/config/config.h"

#include "core/text.h"
#include "drivers/all_drivers.h"
#include "fs/config/mount_settings.h"
#include "fs/config/toml_limits.h"
#include "util/users/trusted_file.h"
#include "vm/vm_name.h"
#include "vm/vm_options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>
#include <system_error>
#include <toml++/toml.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kDriver = "driver";
/// More are only counted: such a file is no configuration.
constexpr std::size_t kMaxProblems = 1000;

/// A value in its command-line form; nullopt if it has a type that no setting has.
std::optional<std::string> text_of(const toml::node& node, const ParamSpec& spec) {
  if (const auto* const text = node.as_string()) {
    return text->get();
  }
  if (const auto* const flag = node.as_boolean()) {
    return flag->get() ? "on" : "off";
  }
  if (const auto* const number = node.as_integer()) {
    if (spec.type != ParamType::mode) {
      return fmt::format("{}", number->get());
    }
    const bool octal = (number->flags() & toml::value_flags::format_as_octal) != toml::value_flags::none;
    return octal ? std::optional{fmt::format("{:o}", number->get())} : std::nullopt; // 640 is not 0o640
  }
  if (const auto* const list = node.as_array(); list != nullptr && spec.list_separator != 0) {
    std::string text;
    for (const toml::node& item : *list) {
      if (!item.is_string()) {
        return std::nullopt;
      }
      if (!text.empty()) {
        text += spec.list_separator;
      }
      text += item.as_string()->get();
    }
    return text;
  }
  return std::nullopt;
}

std::vector<ParamSpec> joined(std::span<const ParamSpec> first, std::span<const ParamSpec> second) {
  std::vector<ParamSpec> all{first.begin(), first.end()};
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

class ConfigReader {
public:
  ConfigReader(const std::string& path, ConfigSource source) : path_{path}, source_{source} {}

  Config read() {
    if (const auto text = whole_file()) {
      parse(*text);
    }
    std::ranges::stable_sort(problems_, {}, &Problem::line); // tables are read in the order of their names
    std::ranges::transform(problems_, std::back_inserter(config_.problems), [&](const Problem& problem) {
      return problem.line == 0 ? fmt::format("{}: {}", path_, problem.text)
                               : fmt::format("{}:{}: {}", path_, problem.line, problem.text);
    });
    if (more_problems_ > 0) {
      config_.problems.push_back(fmt::format("{}: there are {} more problems", path_, more_problems_));
    }
    return std::move(config_);
  }

private:
  struct Problem {
    toml::source_index line; ///< 0: the file as a whole
    std::string text;
  };

  void complain(const toml::source_region& where, std::string text) {
    if (problems_.size() == kMaxProblems) {
      ++more_problems_;
      return;
    }
    problems_.push_back({where.begin.line, std::move(text)});
  }

  void parse(std::string_view text) {
    if (const auto line = line_of_long_key(text)) {
      problems_.push_back(
          {static_cast<toml::source_index>(*line),
           fmt::format("a key has more than {} parts; it is [vm.NAME] or KEY", kMaxKeyParts)});
      return;
    }
    try {
      take(toml::parse(text, path_));
    } catch (const toml::parse_error& error) {
      complain(error.source(), std::string{error.description()});
    }
  }

  std::optional<std::string> whole_file() {
    const bool named = source_ == ConfigSource::named_by_user;
    auto text = named ? read_settings(path_) : read_trusted_settings(path_);
    if (!text) {
      const bool distrusted = !named && text.error().kind == ErrorKind::not_permitted;
      problems_.push_back({0, fmt::format("cannot read it: {}{}", text.error().text,
                                          distrusted ? ", or name the file with --config" : "")});
      return std::nullopt;
    }
    return std::move(*text);
  }

  void take(const toml::table& root) {
    for (const auto& [key, node] : root) {
      const bool known = key == "mount" || key == "vm";
      const auto* const table = node.as_table();
      if (!known || table == nullptr) {
        complain(
            key.source(),
            known ? fmt::format("'{}' has to be a table, [{}]", key.str(), key == "vm" ? "vm.NAME" : "mount")
                  : fmt::format("'{}' is unknown; valid are [mount] and [vm.NAME]", printable(key.str())));
      } else if (key == "mount") {
        config_.mount = take_values(*table, mount_specs());
      } else {
        take_vms(*table);
      }
    }
  }

  /// The valid settings of a table, without the key `except`; reports the others as problems.
  std::vector<KeyValue> take_values(const toml::table& table, std::span<const ParamSpec> specs,
                                    std::string_view except = {}) {
    std::vector<KeyValue> pairs;
    for (const auto& [key, node] : table) {
      if (key == except) {
        continue;
      }
      const ParamSpec* const spec = find_spec(specs, key.str());
      if (spec == nullptr) {
        complain(key.source(), unknown_param(key.str(), specs));
        continue;
      }
      auto text = text_of(node, *spec);
      if (const auto wrong = text ? wrong_value(*spec, *text)
                                  : fmt::format("this is not allowed; it takes {}{}", describe_type(*spec),
                                                spec->type == ParamType::mode ? ", as \"0640\"" : "")) {
        complain(node.source(), fmt::format("{}: {}", key.str(), *wrong));
      } else {
        pairs.push_back({std::string{key.str()}, std::move(*text)});
      }
    }
    return pairs;
  }

  void take_vms(const toml::table& vms) {
    for (const auto& [name, node] : vms) {
      if (const auto checked = check_vm_name(name.str()); !checked) {
        complain(name.source(), checked.error().text);
      }
      if (const auto* const table = node.as_table()) {
        take_vm(std::string{name.str()}, *table);
      } else {
        complain(name.source(), fmt::format("a VM has to be a table, [vm.{}]", printable(name.str())));
      }
    }
  }

  void take_vm(std::string name, const toml::table& table) {
    const auto* const said = table.get(kDriver);
    const DriverType* const type = driver_of(said);
    if (said != nullptr && type == nullptr) {
      return; // parameters of an unknown driver cannot be checked
    }
    const std::span<const ParamSpec> params = type != nullptr ? type->params() : any_driver_;
    const auto pairs = take_values(table, joined(params, vm_option_specs()), kDriver);
    for (const std::string& problem : type != nullptr ? missing(table, params) : std::vector<std::string>{}) {
      complain(table.source(), fmt::format("{}: {}", type->name(), problem));
    }
    ConfiguredVm vm{
        .spec = {.name = std::move(name), .driver = type != nullptr ? std::string{type->name()} : ""},
        .attach = false};
    std::vector<KeyValue> options;
    std::vector<KeyValue> driver_params;
    for (const KeyValue& pair : pairs) {
      (find_spec(vm_option_specs(), pair.key) != nullptr ? options : driver_params).push_back(pair);
    }
    vm.attach = type != nullptr || !driver_params.empty();
    vm.spec.params = format_pairs(driver_params);
    vm.spec.options = format_pairs(options);
    config_.vms.push_back(std::move(vm));
  }

  /// Reports a driver that does not exist.
  const DriverType* driver_of(const toml::node* said) {
    if (said == nullptr) {
      return nullptr;
    }
    const auto* const name = said->as_string();
    if (name == nullptr) {
      complain(said->source(), "driver: this is not allowed; it takes the name of a driver, in quotes");
      return nullptr;
    }
    const DriverType* const type = find_driver(all_drivers(), name->get());
    if (type == nullptr) {
      for (std::string& problem : problems_of({.driver = name->get()})) {
        complain(said->source(), std::move(problem));
      }
    }
    return type;
  }

  /// Checks the keys that are present, with valid values or not.
  static std::vector<std::string> missing(const toml::table& table, std::span<const ParamSpec> specs) {
    std::vector<KeyValue> said;
    for (const auto& [key, node] : table) {
      said.push_back({std::string{key.str()}, {}});
    }
    return missing_params(said, specs);
  }

  /// For a VM that names no driver. Each driver checks its parameters when it is tried.
  static std::vector<ParamSpec> params_of_all() {
    std::vector<ParamSpec> all;
    for (const DriverType* const type : all_drivers()) {
      for (const ParamSpec& spec : type->params()) {
        const auto known = std::ranges::find(all, spec.name, &ParamSpec::name);
        if (known == all.end()) {
          all.push_back(spec);
        } else {
          *known = {.name = spec.name};
        }
      }
    }
    return all;
  }

  const std::string& path_;
  const ConfigSource source_;
  const std::vector<ParamSpec> any_driver_ = params_of_all(); ///< made once: a file may have very many VMs
  Config config_;
  std::vector<Problem> problems_;
  std::size_t more_problems_ = 0; ///< that are not kept
};

} // namespace

Config read_config(const std::string& path, ConfigSource source) { return ConfigReader{path, source}.read(); }

std::optional<std::string> find_config() {
  const auto from_environment = [](const char* name, std::string_view below) -> std::string {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): before any thread is made
    return value != nullptr && *value == '/' ? fmt::format("{}{}", value, below) : std::string{};
  };
  std::string user_config = from_environment("XDG_CONFIG_HOME", "/vmemfs/config.toml");
  if (user_config.empty()) {
    user_config = from_environment("HOME", "/.config/vmemfs/config.toml");
  }
  for (std::string& path : std::array{std::move(user_config), std::string{"/etc/vmemfs/config.toml"}}) {
    std::error_code hidden; // set if a directory is not accessible: then the file is not used
    if (!path.empty() && std::filesystem::exists(path, hidden)) {
      return std::move(path);
    }
  }
  return std::nullopt;
}

} // namespace vmemfs
