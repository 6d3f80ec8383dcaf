// SPDX-License-Identifier: MIT
// Least privilege: what the daemon may do is cut down to what reading VMs takes, before it looks at the
// first.
#pragma once

#include <string>
#include <vector>

namespace vmemfs {

/// Whether VMs are reached over the network.
enum class Network : unsigned char { none, needed };

/// What came of it, in words for the log.
struct PrivilegeReport {
  std::string summary;               ///< one line: what is kept, what is gone
  std::vector<std::string> problems; ///< what could not be given up, with the reason; no failure
};

/// For good, for this process and those it starts from now on: capabilities that reading VMs does not take,
/// new rights by executing programs, dangerous system calls; also core dumps and being traced, as
/// guest memory lies in the buffers. Raises the limit on open files as far as it goes, as each VM takes
/// several.
///
/// Rights belong to threads: before any is made. What takes more rights is to be started before: see Mounter.
[[nodiscard]] PrivilegeReport give_up_privileges(Network network = Network::none);

} // namespace vmemfs
