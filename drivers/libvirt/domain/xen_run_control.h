// SPDX-License-Identifier: MIT
// Run control of a domain of this host's Xen: commands through libvirt, the state from Xen itself.
//
// libvirt's driver for Xen gets no events of what others do (xl pause, xl unpause), and reports only its own
// last command.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain/domain.h"

#include <string>

namespace vmemfs::libvirt {

/// Thread-safe. Both must outlive it.
class XenRunControl final : public RunControl {
public:
  /// `truth`: the run control of the xen driver.
  XenRunControl(Domain& domain, RunControl& truth) : domain_{domain}, truth_{truth} {}

  Result<RunStatus> run_status() override { return truth_.run_status(); }
  Result<RunStatus> pause() override { return commanded(&RunControl::pause, false); }
  Result<RunStatus> resume() override { return commanded(&RunControl::resume, true); }
  std::string resume_ticket() const override { return domain_.resume_ticket(); }

private:
  /// Through libvirt; if that did nothing, because its own record says that the state is reached already,
  /// through Xen.
  Result<RunStatus> commanded(Result<RunStatus> (RunControl::*command)(), bool running) {
    auto done = (domain_.*command)();
    if (!done) {
      return done;
    }
    auto status = truth_.run_status();
    return status && status->running != running ? (truth_.*command)() : std::move(status);
  }

  Domain& domain_;
  RunControl& truth_;
};

} // namespace vmemfs::libvirt
