// SPDX-License-Identifier: MIT
// The text of `.vmemfs/stats`.
#pragma once

#include "fs/files/event_feed.h"
#include "vm/event_log.h"
#include "vm/vm_registry.h"

#include <string>

namespace vmemfs {

/// Counters of all VMs, of the events and of the process, in Prometheus' text format. Waits for no driver and
/// no monitor.
[[nodiscard]] std::string stats_text(const VmRegistry& registry, const EventLog& events,
                                     const EventFeed& feed);

} // namespace vmemfs
