// SPDX-License-Identifier: MIT
// A debugger of the tests' own: a client of GDB's remote protocol that shares no code with the driver.
#pragma once

#include "util/unique_fd.h"

#include <string>

namespace vmemfs::test {

/// Connected as long as it lives. QEMU stops its guest when a debugger connects. Throws std::runtime_error if
/// it cannot connect.
class GdbClient {
public:
  explicit GdbClient(const std::string& path); ///< a UNIX socket
  explicit GdbClient(unsigned port);           ///< on 127.0.0.1

  /// The reply to a packet, without the stub's reports that the VM stopped. "(closed)" if the stub
  /// disconnected, "(silent)" if it says nothing for 20 s.
  std::string ask(const std::string& payload);

private:
  UniqueFd socket_;
  std::string received_;
};

} // namespace vmemfs::test
