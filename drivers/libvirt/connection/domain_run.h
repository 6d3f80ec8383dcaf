// SPDX-License-Identifier: MIT
// A run of a domain, and what is reported of it.
#pragma once

#include <chrono>
#include <string>

namespace vmemfs::libvirt {

/// A daemon that does not answer for so long counts as disconnected.
inline constexpr std::chrono::seconds kDeadAfter{4};

/// One run of a domain: from its start to its end.
struct DomainRun {
  std::string uuid;
  std::string name; ///< not trusted
  int id = -1; ///< of this run; libvirt numbers the runs, and keeps the number when it is restarted itself

  friend bool operator==(const DomainRun&, const DomainRun&) = default;
};

enum class DomainEvent : unsigned char {
  paused,
  resumed,
  reset,
  memory_changed, ///< a device was added or removed: perhaps a DIMM
  state_unclear,  ///< something happened, or may have happened while there was no connection
  ended,
};

class Connections;

} // namespace vmemfs::libvirt
