// SPDX-License-Identifier: MIT
// Parameters of drivers and similar settings: each is declared once, and the declaration is used to parse,
// check, describe and complete it.
#pragma once

#include "core/error.h"
#include "driver/param_text.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace vmemfs {

enum class ParamType : unsigned char {
  text,
  path,
  number,
  size,
  duration,
  flag,
  choice,
  mode,  ///< permission bits, in octal
  user,  ///< of this host, by name or number
  group, ///< the same
};

/// The allowed range, both ends included. Sizes in bytes, durations in milliseconds; for a mode, `max` has
/// the allowed bits. Ignored for other types.
struct ParamRange {
  std::uint64_t min = 0;
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
};

/// Of the parameter `timeout` of drivers, in milliseconds: ten minutes.
inline constexpr std::uint64_t kMaxTimeoutParam = 600'000;

struct ParamSpec {
  std::string_view name{};
  ParamType type = ParamType::text;
  bool required = false;
  std::string_view fallback{}; ///< used if the key is not given; empty: none
  std::string_view help{};
  std::string_view example{};
  std::vector<std::string_view> choices{}; ///< for ParamType::choice
  ParamRange range{};
  bool alternative = false; ///< at least one of all marked parameters is required
  bool names_vm = false;    ///< accepts a VM's name: used if only the name is known
  char list_separator = 0;  ///< the configuration takes a list too, joined by this; 0: it takes none
};

/// Checked parameters. The getters may only be asked for keys of the right type.
class Params {
public:
  /// Parses and checks `text`; one message reports every problem, with the allowed values.
  static Result<Params> parse(std::string_view text, std::span<const ParamSpec> specs);
  /// The same for parsed pairs.
  static Result<Params> check(std::span<const KeyValue> pairs, std::span<const ParamSpec> specs);

  /// True if the key was given or has a fallback.
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const; ///< any type; "" if absent
  [[nodiscard]] std::uint64_t number(std::string_view name) const;    ///< also for size, in bytes
  [[nodiscard]] std::chrono::milliseconds duration(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] mode_t mode(std::string_view name) const;
  [[nodiscard]] uid_t user(std::string_view name) const;
  [[nodiscard]] gid_t group(std::string_view name) const;

private:
  std::map<std::string, std::string, std::less<>> values_;
};

// For callers that report the position of each problem. All return sentences for the user.

[[nodiscard]] const ParamSpec* find_spec(std::span<const ParamSpec> specs, std::string_view name);

/// "there is no parameter 'x' (known: a, b)"
[[nodiscard]] std::string unknown_param(std::string_view name, std::span<const ParamSpec> specs);

/// The problem with this value, if any: "'x' is not allowed; it takes ..."
[[nodiscard]] std::optional<std::string> wrong_value(const ParamSpec& spec, std::string_view value);

/// One sentence for each missing required parameter.
[[nodiscard]] std::vector<std::string> missing_params(std::span<const KeyValue> given,
                                                      std::span<const ParamSpec> specs);

/// All of the above; empty if there is no problem.
[[nodiscard]] std::vector<std::string> problems_of(std::span<const KeyValue> pairs,
                                                   std::span<const ParamSpec> specs);

/// "a size (bytes, or with K, M, G, T), at least 1"
[[nodiscard]] std::string describe_type(const ParamSpec& spec);

/// A table of the parameters, one per paragraph, for `vmemfs drivers NAME`.
[[nodiscard]] std::string describe(std::span<const ParamSpec> specs);

} // namespace vmemfs
