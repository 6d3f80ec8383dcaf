// SPDX-License-Identifier: MIT
// What the suite is run against here. A Xen host has a program of its own, with other subjects: see xen/.
#include "contract/driver_contract.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace vmemfs::test {
namespace {

std::vector<SubjectKind>& registered() {
  static std::vector<SubjectKind> kinds;
  return kinds;
}

} // namespace

RegisteredSubject::RegisteredSubject(SubjectKind kind) { registered().push_back(std::move(kind)); }

const std::vector<SubjectKind>& subject_kinds() {
  static const std::vector<SubjectKind> kKinds = [] {
    std::vector<SubjectKind> kinds{fake_subject(),
                                   decorated_subject(),
                                   dump_subject(),
                                   toy_subject(),
                                   qemu_private_subject(),
                                   qemu_shared_subject(),
                                   qemu_without_monitor_subject()};
    std::ranges::move(libvirt_subjects(), std::back_inserter(kinds));
    std::ranges::copy(registered(), std::back_inserter(kinds));
    return kinds;
  }();
  return kKinds;
}

} // namespace vmemfs::test
