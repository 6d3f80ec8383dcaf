// Parameters of drivers: declared once, and from the declaration parsed, checked and described.
//
// Text form, as after `--vm NAME=DRIVER:`: KEY=VALUE, separated by commas. A value with commas or
// spaces at its ends stands in double quotes; in quotes, \" is a quote and \\ a backslash.
#pragma once

#include "core/error.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

enum class ParamType : unsigned char { text, number, size, duration, flag, choice };

struct ParamSpec {
  std::string_view name;
  ParamType type;
  bool required;
  std::string_view fallback; ///< used when the key is not given; empty: none
  std::string_view help;
  std::string_view example;
  std::vector<std::string_view> choices{}; ///< for ParamType::choice
};

/// Checked parameters. The getters may only be asked for keys of the right type.
class Params {
public:
  /// Parses and checks `text`; every problem is reported, in one message, with what is allowed.
  static Result<Params> parse(std::string_view text, std::span<const ParamSpec> specs);

  /// True where the key was given or has a fallback.
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const; ///< also for choice; "" if absent
  [[nodiscard]] std::uint64_t number(std::string_view name) const;    ///< also for size, in bytes
  [[nodiscard]] std::chrono::milliseconds duration(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;

private:
  std::map<std::string, std::string, std::less<>> values_;
};

/// A table of the parameters, one a paragraph, for `vmemfs drivers NAME`.
[[nodiscard]] std::string describe(std::span<const ParamSpec> specs);

/// "NAME=DRIVER[:PARAMS]" as after --vm, or "DRIVER:PARAMS" (name is then empty).
struct VmSpec {
  std::string name;
  std::string driver;
  std::string params;
};
[[nodiscard]] Result<VmSpec> parse_vm_spec(std::string_view text);

} // namespace vmemfs
