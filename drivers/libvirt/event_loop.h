// SPDX-License-Identifier: MIT
// libvirt's event loop: one thread for the whole process, which hears of what happens to domains and keeps
// connections alive.
#pragma once

namespace vmemfs::libvirt {

/// Starts it, once; to be called before the first connection is opened. libvirt then prints no errors by
/// itself. Throws std::system_error where no thread can be started.
void start_event_loop();

} // namespace vmemfs::libvirt
