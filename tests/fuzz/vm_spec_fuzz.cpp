// SPDX-License-Identifier: MIT
// The specification of a VM, and parameters.
#include "core/text.h"
#include "driver/vm_spec.h"
#include "fuzz/fuzz_target.h"

#include <array>

using vmemfs::ParamSpec;
using vmemfs::ParamType;

FUZZ_TARGET(text) {
  static const std::array<ParamSpec, 7> kSpecs{{
      {.name = "t", .type = ParamType::text},
      {.name = "p", .type = ParamType::path},
      {.name = "n", .type = ParamType::number},
      {.name = "s", .type = ParamType::size},
      {.name = "d", .type = ParamType::duration},
      {.name = "f", .type = ParamType::flag},
      {.name = "m", .type = ParamType::mode, .range = {0, 0777}},
  }};
  const auto parsed = vmemfs::parse_pairs(text);
  const auto again = vmemfs::parse_pairs(vmemfs::format_pairs(parsed.pairs));
  vmemfs::fuzz::expect(again.problems.empty() && again.pairs == parsed.pairs, "pairs read back unchanged");
  static_cast<void>(vmemfs::parse_vm_spec(text));
  static_cast<void>(vmemfs::read_vm_spec(text, kSpecs));
  if (const auto params = vmemfs::Params::parse(text, kSpecs)) {
    static_cast<void>(params->number("n") + params->number("s"));
    static_cast<void>(params->duration("d"));
    static_cast<void>(params->flag("f"));
    vmemfs::fuzz::expect(params->mode("m") <= 0777, "a mode has no other bits");
  }
}
