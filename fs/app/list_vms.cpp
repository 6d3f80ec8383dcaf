#include "fs/app/list_vms.h"

#include "fs/app/attached_vms.h"
#include "fs/files/vm_list_text.h"
#include "util/log.h"

#include <fmt/format.h>
#include <iostream>

namespace vmemfs {

int list_vms(const ListVms& how) {
  log::set_level(log::Level::error); // why a VM can't be attached is in the list
  const MountOptions found_ones;
  AttachedVms vms{found_ones};
  if (!vms.begin()) {
    return 1;
  }
  const auto listed = listed_vms(vms.lookout().sightings(), vms.registry());
  std::cout << (how.json ? vm_list_json(listed) : vm_list_text(listed));
  const auto errors = vms.lookout().look_errors();
  for (const std::string& error : errors) {
    std::cerr << fmt::format("vmemfs: can't look for VMs: {}\n", error);
  }
  return errors.empty() ? 0 : 1;
}

} // namespace vmemfs
