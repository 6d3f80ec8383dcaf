// What the suite is run against here. A Xen host has a program of its own, with other subjects: see xen/.
#include "contract/driver_contract.h"

namespace vmemfs::test {

const std::vector<SubjectKind>& subject_kinds() {
  static const std::vector<SubjectKind> kKinds{fake_subject(),        decorated_subject(),
                                               dump_subject(),        qemu_private_subject(),
                                               qemu_shared_subject(), qemu_without_monitor_subject()};
  return kKinds;
}

} // namespace vmemfs::test
