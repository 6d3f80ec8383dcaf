// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain_state.h"

#include <fmt/format.h>
#include <libvirt/libvirt.h>

namespace vmemfs::libvirt {
namespace {

struct Reason {
  std::string_view reason;
  /// It was stopped by a command, or by a temporary operation of libvirt (a dump, a snapshot).
  bool by_command;
};

Reason why_paused(int reason) {
  switch (reason) {
  case VIR_DOMAIN_PAUSED_USER: return {"", true};
  case VIR_DOMAIN_PAUSED_MIGRATION: return {"migrating", true};
  case VIR_DOMAIN_PAUSED_SAVE: return {"being saved", true};
  case VIR_DOMAIN_PAUSED_DUMP: return {"being dumped", true};
  case VIR_DOMAIN_PAUSED_SNAPSHOT: return {"making a snapshot", true};
  case VIR_DOMAIN_PAUSED_STARTING_UP: return {"starting up", true};
  case VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: return {"restored from a snapshot", true};
  case VIR_DOMAIN_PAUSED_IOERROR: return {"I/O error", false};
  case VIR_DOMAIN_PAUSED_WATCHDOG: return {"watchdog", false};
  case VIR_DOMAIN_PAUSED_SHUTTING_DOWN: return {"shutting down", false};
  case VIR_DOMAIN_PAUSED_CRASHED: return {"crashed", false};
  case VIR_DOMAIN_PAUSED_POSTCOPY:
  case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: return {"postcopy migration", false};
  case VIR_DOMAIN_PAUSED_UNKNOWN: return {"for an unknown reason", true};
  default: return {"by itself", false}; // reasons of newer versions: an operation of libvirt failed, ...
  }
}

} // namespace

RunStatus status_of(int state, int reason) {
  switch (state) {
  case VIR_DOMAIN_RUNNING: return {true, "running", true};
  case VIR_DOMAIN_BLOCKED: return {true, "idle", true}; // Xen's term for a vCPU that waits
  case VIR_DOMAIN_PAUSED: {
    const Reason why = why_paused(reason);
    return {false, why.reason.empty() ? "paused" : fmt::format("paused ({})", why.reason), why.by_command};
  }
  // The guest still runs while it shuts down; afterwards QEMU is stopped.
  case VIR_DOMAIN_SHUTDOWN: return {false, "shutdown", false};
  case VIR_DOMAIN_SHUTOFF: return {false, "shutoff", false};
  case VIR_DOMAIN_CRASHED: return {false, "crashed", false};
  // libvirt refuses to suspend it, and the guest runs when something wakes it.
  case VIR_DOMAIN_PMSUSPENDED: return {false, "pmsuspended", false, true};
  default: return {true, "no state", true};
  }
}

} // namespace vmemfs::libvirt
