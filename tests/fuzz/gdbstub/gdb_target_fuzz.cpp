// SPDX-License-Identifier: MIT
// Texts about a target: its description, its memory map, maps= and address= of the user.
#include "core/error.h"
#include "driver/kit/user_map.h"
#include "drivers/gdbstub/link/server_address.h"
#include "drivers/gdbstub/target/register_plan.h"
#include "drivers/gdbstub/target/server_map.h"
#include "drivers/gdbstub/target/target_description.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <string>

namespace {

using namespace vmemfs;
using namespace vmemfs::gdbstub;

void check_map(const Result<MemoryMap>& map) {
  if (map) {
    fuzz::expect(!map->regions().empty() && map->ram_end().value() < kGpaLimit, "a map has valid regions");
  }
}

} // namespace

FUZZ_TARGET(text) {
  // What it includes is itself, which has to end.
  const FetchDescription fetch = [&](const std::string&) { return Result<std::string>{std::string{text}}; };
  const auto description = parse_target_description(text, fetch);
  if (description) {
    fuzz::expect(std::ranges::is_sorted(description->registers, std::ranges::less{}, &TargetRegister::number),
                 "registers are sorted");
    if (const auto plan = plan_registers(*description)) {
      for (const PlannedRegister& planned : plan->registers) {
        fuzz::expect(planned.digits <= 16 && planned.reg.value() < plan->layout->size(), "a place is valid");
      }
    }
  }
  check_map(parse_memory_map_xml(text));
  check_map(parse_user_map(text, "fuzz"));
  if (const auto address = parse_address(text)) {
    fuzz::expect(parse_address(to_string(*address)) == *address, "an address reads back unchanged");
  }
}
