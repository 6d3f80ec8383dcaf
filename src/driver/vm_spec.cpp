// SPDX-License-Identifier: MIT
#include "driver/vm_spec.h"

#include "core/text.h"

#include <cstddef>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <utility>

namespace vmemfs {
namespace {

void take_head(std::string_view head, ParsedVmSpec& parsed) {
  const std::size_t equals = head.find('=');
  if (equals != std::string_view::npos) {
    parsed.spec.name = trim(head.substr(0, equals));
    head.remove_prefix(equals + 1);
    if (parsed.spec.name.empty()) {
      parsed.problems.emplace_back("there is no name before the '='");
    }
  }
  parsed.spec.driver = trim(head);
  if (parsed.spec.name.empty() && parsed.spec.driver.empty()) {
    parsed.problems.emplace_back("it names no VM and no driver; write NAME=DRIVER:KEY=VALUE,... as in "
                                 "web01=qemu:qmp=/run/web01.qmp ('vmemfs drivers' lists the drivers)");
  }
}

} // namespace

ParsedVmSpec read_vm_spec(std::string_view text, std::span<const ParamSpec> option_specs) {
  ParsedVmSpec parsed;
  const std::size_t colon = text.find(':');
  take_head(text.substr(0, colon), parsed);
  ParsedPairs pairs = parse_pairs(colon == std::string_view::npos ? "" : text.substr(colon + 1));
  std::vector<KeyValue> params;
  std::vector<KeyValue> options;
  for (KeyValue& pair : pairs.pairs) {
    (find_spec(option_specs, pair.key) != nullptr ? options : params).push_back(std::move(pair));
  }
  parsed.spec.params = format_pairs(params);
  parsed.spec.options = format_pairs(options);
  parsed.problems.insert(parsed.problems.end(), pairs.problems.begin(), pairs.problems.end());
  return parsed;
}

Result<VmSpec> parse_vm_spec(std::string_view text) {
  ParsedVmSpec parsed = read_vm_spec(text);
  if (!parsed.problems.empty()) {
    return fail(ErrorKind::invalid, "vm",
                fmt::format("'{}': {}", printable(text), fmt::join(parsed.problems, "; ")));
  }
  return std::move(parsed.spec);
}

} // namespace vmemfs
