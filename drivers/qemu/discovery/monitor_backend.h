// SPDX-License-Identifier: MIT
// The backend of a QMP monitor, from the options of its chardev: a socket that listens, or the reason why
// vmemfs cannot use it.
//
// Pure functions, thread-safe. The text is not trusted.
#pragma once

#include "drivers/qemu/monitor/monitor_socket.h"
#include "drivers/qemu_protocol/option_text.h"

#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::qemu {

struct MonitorBackend {
  std::optional<MonitorSocket> socket;
  /// If there is no socket: what the monitor is and why it is not used, to follow "its QMP monitor", such as
  /// "is on a pty, ...". Fit for an error text.
  std::string unusable;
};

/// `chardev`: options as after -chardev, the backend with the key "backend".
[[nodiscard]] MonitorBackend monitor_backend(const Options& chardev);

/// The same options from the short form after -qmp, such as "unix:PATH,server=on" or "pty".
[[nodiscard]] Options options_of_short_form(std::string_view text);

} // namespace vmemfs::qemu
