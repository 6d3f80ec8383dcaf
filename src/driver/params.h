// Parameters of drivers, and other settings of the same kind: declared once, and from the declaration parsed,
// checked, described and completed.
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

/// What is allowed, both ends included. Sizes in bytes, durations in milliseconds; of a mode, `max` are the
/// bits that it may have. Means nothing for the other types.
struct ParamRange {
  std::uint64_t min = 0;
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
};

struct ParamSpec {
  std::string_view name{};
  ParamType type = ParamType::text;
  bool required = false;
  std::string_view fallback{}; ///< used when the key is not given; empty: none
  std::string_view help{};
  std::string_view example{};
  std::vector<std::string_view> choices{}; ///< for ParamType::choice
  ParamRange range{};
  bool alternative = false; ///< of all that are marked so, at least one has to be given
  bool names_vm = false;    ///< takes a VM's name: what is tried where only that is known
};

/// Checked parameters. The getters may only be asked for keys of the right type.
class Params {
public:
  /// Parses and checks `text`; every problem is reported, in one message, with what is allowed.
  static Result<Params> parse(std::string_view text, std::span<const ParamSpec> specs);
  /// The same for what is parsed already.
  static Result<Params> check(std::span<const KeyValue> pairs, std::span<const ParamSpec> specs);

  /// True where the key was given or has a fallback.
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

// For those who tell where each problem is. All give sentences for the user.

[[nodiscard]] const ParamSpec* find_spec(std::span<const ParamSpec> specs, std::string_view name);

/// "there is no parameter 'x' (known: a, b)"
[[nodiscard]] std::string unknown_param(std::string_view name, std::span<const ParamSpec> specs);

/// What is wrong with this value, if anything: "'x' is not allowed; it takes ..."
[[nodiscard]] std::optional<std::string> wrong_value(const ParamSpec& spec, std::string_view value);

/// One sentence for each that has to be given and is not.
[[nodiscard]] std::vector<std::string> missing_params(std::span<const KeyValue> given,
                                                      std::span<const ParamSpec> specs);

/// All of the above; empty where all is well.
[[nodiscard]] std::vector<std::string> problems_of(std::span<const KeyValue> pairs,
                                                   std::span<const ParamSpec> specs);

/// "a size (bytes, or with K, M, G, T), at least 1"
[[nodiscard]] std::string describe_type(const ParamSpec& spec);

/// A table of the parameters, one a paragraph, for `vmemfs drivers NAME`.
[[nodiscard]] std::string describe(std::span<const ParamSpec> specs);

} // namespace vmemfs
