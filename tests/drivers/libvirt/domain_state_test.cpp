// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain_state.h"

#include <gtest/gtest.h>
#include <libvirt/libvirt.h>

namespace vmemfs::libvirt {
namespace {

TEST(DomainState, WhoeverPausedItMayResumeOnlyWhatStandsByCommand) {
  EXPECT_TRUE(status_of(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED).running);
  const RunStatus paused = status_of(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
  EXPECT_FALSE(paused.running);
  EXPECT_EQ(paused.detail, "paused");
  EXPECT_TRUE(paused.by_command);
  // libvirt itself stops it for a while, and resumes it.
  EXPECT_TRUE(status_of(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_DUMP).by_command);
  for (const int reason : std::initializer_list<int>{VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_PAUSED_CRASHED,
                                                     VIR_DOMAIN_PAUSED_POSTCOPY, 4711}) {
    EXPECT_FALSE(status_of(VIR_DOMAIN_PAUSED, reason).by_command) << reason;
  }
  for (const int state :
       std::initializer_list<int>{VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_CRASHED, VIR_DOMAIN_PMSUSPENDED}) {
    EXPECT_FALSE(status_of(state, 0).running) << state;
    EXPECT_FALSE(status_of(state, 0).by_command) << state;
    EXPECT_EQ(status_of(state, 0).may_start, state == VIR_DOMAIN_PMSUSPENDED) << state;
  }
}

} // namespace
} // namespace vmemfs::libvirt
