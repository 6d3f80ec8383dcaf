// SPDX-License-Identifier: MIT
// Names of VMs from command lines and places: the input is arguments, each ended by a zero byte, the program
// first; and its cgroups, root and short name.
#include "core/text.h"
#include "drivers/kvm/identity/place_name.h"
#include "drivers/kvm/identity/vm_name.h"
#include "fuzz/fuzz_target.h"

#include <string>
#include <vector>

FUZZ_TARGET(text) {
  std::vector<std::string> arguments;
  for (const std::string_view argument : vmemfs::split(text, '\0')) {
    arguments.emplace_back(argument);
  }
  const std::string program = arguments.empty() ? "" : arguments.front();
  const std::string name = vmemfs::kvm::name_from_command_line({program, ""}, arguments);
  vmemfs::fuzz::expect(name.size() <= text.size(), "a name is a part of the command line");
  const std::string place = vmemfs::kvm::name_from_place(
      {.executable = program, .root = program, .short_name = program, .cgroups = text});
  vmemfs::fuzz::expect(place.size() <= text.size(), "a name is a part of the place");
}
