// SPDX-License-Identifier: MIT
// Run control of a domain of this host's Xen: libvirt's commands, but what state it is in Xen itself is
// asked.
//
// libvirt's driver for Xen is not told of what others do (xl pause, xl unpause), and says what it last did
// itself.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain.h"

#include <string>

namespace vmemfs::libvirt {

/// Thread-safe. Both must outlive it.
class XenRunControl final : public RunControl {
public:
  /// `truth`: the xen driver's.
  XenRunControl(Domain& domain, RunControl& truth) : domain_{domain}, truth_{truth} {}

  Result<RunStatus> run_status() override { return truth_.run_status(); }
  Result<void> pause() override { return commanded(&RunControl::pause, false); }
  Result<void> resume() override { return commanded(&RunControl::resume, true); }
  std::string resume_ticket() const override { return domain_.resume_ticket(); }

private:
  /// By libvirt; and where that does nothing, as by its own record it is so already, by Xen.
  Result<void> commanded(Result<void> (RunControl::*command)(), bool running) {
    auto done = (domain_.*command)();
    if (!done) {
      return done;
    }
    const auto status = truth_.run_status();
    return status && status->running != running ? (truth_.*command)() : done;
  }

  Domain& domain_;
  RunControl& truth_;
};

} // namespace vmemfs::libvirt
