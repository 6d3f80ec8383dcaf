// SPDX-License-Identifier: MIT
#include "attack/attack.h"

#include "support/child_process.h"
#include "support/users.h"

#include <unistd.h>

namespace vmemfs::test {

std::string hostile(const std::string& name) { return std::string{VMEMFS_HOSTILE_DIR "/"} + name; }

void AttackTest::SetUp() {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "becoming other users takes root";
  }
  if (run(joined(as_user(kAttacker), {"test", "-x", VMEMFS_PROGRAM})).code != 0) {
    GTEST_SKIP() << "other users cannot run " << VMEMFS_PROGRAM;
  }
}

} // namespace vmemfs::test
