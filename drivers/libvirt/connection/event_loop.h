// SPDX-License-Identifier: MIT
// The event loop of libvirt: one thread per process that receives events of domains and keeps connections
// alive.
#pragma once

namespace vmemfs::libvirt {

/// Starts it, once; call it before the first connection is opened. From then on libvirt prints no errors
/// itself. Throws std::system_error if no thread can be started.
void start_event_loop();

} // namespace vmemfs::libvirt
