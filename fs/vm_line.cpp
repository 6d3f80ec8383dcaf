// SPDX-License-Identifier: MIT
#include "fs/vm_line.h"

#include "drivers/all_drivers.h"
#include "vm/vm_name.h"
#include "vm/vm_options.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace vmemfs {

VmLine read_vm_line(std::string_view text) {
  auto [parsed, problems] = read_vm_spec(text, vm_option_specs());
  VmSpec spec = resolved(all_drivers(), std::move(parsed));
  if (spec.driver.empty() && spec.name.empty()) {
    return {std::move(spec), std::move(problems)};
  }
  if (const auto checked = spec.name.empty() ? Result<void>{} : check_vm_name(spec.name); !checked) {
    problems.push_back(checked.error().text);
  }
  std::ranges::move(problems_of(spec, vm_option_specs()), std::back_inserter(problems));
  return {std::move(spec), std::move(problems)};
}

VmLine read_discovery_line(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  VmLine line{{.driver = std::string{text.substr(0, colon)},
               .params = std::string{text.substr(std::min(colon + 1, text.size()))}},
              {}};
  if (const auto checked = open_discovery(line.spec, nullptr); !checked) {
    line.problems.push_back(checked.error().message());
  }
  return line;
}

} // namespace vmemfs
